import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { HashStage } from "./_hash_stage.ts";
import { MAX_SPANS, RecordedHead, SPAN_KINDS, SpanRecorder } from "./spans.ts";

Deno.test("SpanRecorder keeps the newest spans, and says which it has forgotten", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 20 }),
    fc.integer({ min: 0, max: 70 }),
    fc.integer({ min: 0, max: 80 }),
    fc.integer({ min: 0, max: 30 }),
    (capacity, count, from, limit) => {
      const spans = new SpanRecorder(capacity);
      for (let i = 0; i < count; i++) spans.add("forward", i, 1, 0, i, i + 0.5);
      assertEquals(spans.count, count);
      assertEquals(spans.first, Math.max(0, count - capacity));
      const begin = Math.max(from, spans.first);
      const length = Math.max(0, Math.min(limit, count - begin));
      const expected = Array.from({ length }, (_, i) => begin + i);
      assertEquals(spans.read(from, limit).map(({ frame }) => frame), expected);
    },
  ));
});

Deno.test("SpanRecorder gives back what it was given", () => {
  const spans = new SpanRecorder(SPAN_KINDS.length);
  const given = SPAN_KINDS.map((kind, i) => ({
    kind,
    frame: 2 ** 32 - 1 - i,
    rows: 512 + i,
    sample: i,
    start: 1e9 + i / 1024,
    end: 1e9 + i,
    bytes: 70_000 * i,
  }));
  for (const { kind, frame, rows, sample, start, end, bytes } of given) {
    spans.add(kind, frame, rows, sample, start, end, bytes);
  }
  assertEquals(spans.read(0, 100), given);
});

Deno.test("SpanRecorder takes a positive capacity that is bounded", () => {
  for (const capacity of [0, -1, 1.5, NaN, MAX_SPANS + 1]) {
    assertThrows(() => new SpanRecorder(capacity), RangeError);
  }
});

Deno.test("SpanRecorder numbers no cache change as a frame", () => {
  const spans = new SpanRecorder(4);
  spans.message(
    "send",
    { kind: "cache", epoch: 1, sample: 3, length: 0, capacity: 8 },
    5,
    1,
    2,
    9,
  );
  const hidden = new Float32Array(3);
  const segments = [{ sample: 4, position: 0, rows: 2, wanted: 0 }, {
    sample: 5,
    position: 7,
    rows: 1,
    wanted: 1,
  }];
  spans.message("send", { kind: "frame", epoch: 1, segments, hidden }, 5, 3, 4);
  assertEquals(spans.read(0, 2).map(({ frame, rows, sample }) => [frame, rows, sample]), [
    [0, 0, 3],
    [5, 3, 4],
  ]);
});

Deno.test("RecordedHead records every call under the frame that was begun", async () => {
  const spans = new SpanRecorder(4);
  const stage = new HashStage();
  const head = new RecordedHead(stage, spans);
  head.begin(7, 1, 2);
  await head.logits(new Float32Array(1));
  const [span] = spans.read(0, 4);
  assertEquals([span!.kind, span!.frame, span!.rows, span!.sample], ["head", 7, 1, 2]);
  assert(span!.end >= span!.start);
});

import { create } from "@bufbuild/protobuf";
import { assertEquals, assertThrows } from "@std/assert";
import { SPAN_KINDS, SpanRecorder } from "../engine/ring/spans.ts";
import { MdiError } from "../wasm/error.ts";
import { type Spans, SpansSchema } from "./gen/mdi/v1/control_pb.ts";
import { readSpans, spansMessage } from "./trace.ts";

Deno.test("spansMessage() holds what readSpans() gives back, in bounded parts", () => {
  const spans = new SpanRecorder(20_000);
  for (let i = 0; i < 25_000; i++) {
    spans.add(SPAN_KINDS[i % SPAN_KINDS.length]!, i, 1, 2, i / 3, i / 2, i);
  }
  const read = [];
  let next = 0;
  while (true) {
    const message = spansMessage(spans, BigInt(next));
    assertEquals(message.count, 25_000n);
    const part = readSpans(message);
    if (part.length === 0) break;
    read.push(...part);
    next = Number(message.first) + part.length;
  }
  assertEquals(read, spans.read(0, 20_000));
  assertEquals(spansMessage(spans, 2n ** 64n - 1n).kind, []);
  assertThrows(() => spansMessage(undefined, 0n), MdiError, "was not told to record");
});

Deno.test("readSpans() refuses what no node sends", () => {
  const good = (): Spans =>
    create(SpansSchema, {
      kind: [0],
      frame: [1],
      rows: [1],
      sample: [0],
      startMs: [1],
      endMs: [2],
      bytes: [0],
    });
  assertEquals(readSpans(good()).length, 1);
  const cases: [Partial<Spans>, string][] = [
    [{ kind: [SPAN_KINDS.length] }, "there is no kind number"],
    [{ rows: [] }, "other lengths"],
    [{ startMs: [NaN] }, "one is from NaN to 2"],
    [{ endMs: [Infinity] }, "one is from 1 to Infinity"],
    [{ startMs: [3] }, "one is from 3 to 2"],
    [{ kind: new Array(8193).fill(0) }, "columns of 8193"],
  ];
  for (const [change, message] of cases) {
    assertThrows(() => readSpans(Object.assign(good(), change)), MdiError, message);
  }
});

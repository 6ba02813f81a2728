import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { alignSpans, readClock, recordedSince, type Recording, timelineOf } from "./recording.ts";
import type { Span, SpanKind } from "./spans.ts";
import { type TraceEvent, traceEvents } from "./trace_events.ts";

function span(kind: SpanKind, frame: number, start: number, end = start, sample = 0): Span {
  return { kind, frame, rows: 1, sample, start, end, bytes: kind === "send" ? 100 : 0 };
}

/** Two nodes and one token: the second node computes from 3 to 5. */
function recording(): Recording {
  const common = { forgotten: 0, uncertaintyMs: 0, missing: null };
  return {
    model: "m",
    nodes: [{
      ...common,
      name: "a",
      layers: [0, 1],
      spans: [
        { ...span("slot", 0, 10), rows: 4 },
        span("forward", 1, 10, 11),
        span("segment", 1, 11),
        span("encode", 1, 11, 11.5),
        span("send", 1, 11.5, 12),
        span("decode", 1, 16, 16.5),
        span("token", 1, 18),
        span("head", 1, 17, 18),
        span("draw", 1, 18, 18.5),
        span("finish", 0, 18.5),
      ],
    }, {
      ...common,
      name: "b",
      layers: [2, 3],
      spans: [
        span("decode", 1, 12.5, 12.6),
        span("forward", 1, 13, 15),
        span("credits", 1, 15, 15.4),
        span("encode", 1, 15.4, 15.5),
        span("send", 1, 15.5, 15.7),
      ],
    }],
  };
}

Deno.test("readClock() takes the exchange with the shortest round trip, and bounds its error", async () => {
  await fc.assert(fc.asyncProperty(
    fc.array(
      fc.tuple(
        fc.double({ min: 0, max: 9, noNaN: true }),
        fc.double({ min: 0, max: 9, noNaN: true }),
      ),
      {
        minLength: 1,
        maxLength: 8,
      },
    ),
    fc.double({ min: -1e6, max: 1e6, noNaN: true }),
    async (delays, offset) => {
      let time = 0;
      let round = 0;
      const ask = () => {
        const [there, back] = delays[round++]!;
        time += there;
        const theirs = time + offset;
        time += back;
        return Promise.resolve(theirs);
      };
      const reading = await readClock(ask, delays.length, () => time);
      const shortest = Math.min(...delays.map(([there, back]) => there + back));
      assertAlmostEquals(reading.uncertaintyMs, shortest / 2, 1e-6);
      assert(Math.abs(reading.offsetMs - offset) <= reading.uncertaintyMs + 1e-6);
    },
  ));
  await assertRejects(() => readClock(() => Promise.resolve(0), 0), RangeError);
});

Deno.test("alignSpans() follows a clock that drifts", () => {
  const drift = 50e-6;
  const node = (at: number) => 5000 + at * (1 + drift);
  const reading = (at: number) => ({ at, offsetMs: node(at) - at, uncertaintyMs: 0 });
  const spans = [0, 1e5, 6e5].map((at) => span("forward", 1, node(at), node(at + 3)));
  const [a, b, c] = alignSpans(spans, [reading(0), reading(6e5)]);
  for (const [aligned, at] of [[a, 0], [b, 1e5], [c, 6e5]] as const) {
    assertAlmostEquals(aligned!.start, at, 2e-3);
    assertAlmostEquals(aligned!.end, at + 3, 2e-3);
  }
  const once = alignSpans(spans, [reading(0)]);
  assertAlmostEquals(once[0]!.start, 0, 1e-9);
});

Deno.test("timelineOf() has what computed, what travelled and when tokens came", () => {
  const timeline = timelineOf(recording(), [{ weightBytes: 1, kvBytes: 2 }]);
  assertEquals(timeline.kind, "measured");
  assertEquals(timeline.ms, 8.5);
  assertEquals(timeline.nodes.map(({ name, busy }) => [name, busy]), [
    ["a", [{ from: 0, to: 1, rows: 1, what: "forward" }, {
      from: 7,
      to: 8,
      rows: 1,
      what: "head",
    }]],
    ["b", [{ from: 3, to: 5, rows: 1, what: "forward" }]],
  ]);
  assertEquals(timeline.links, [
    { from: 0, to: 1, frames: [{ sent: 1.5, arrived: 2.5, rows: 1, bytes: 100 }] },
    { from: 1, to: 0, frames: [{ sent: 5.5, arrived: 6, rows: 1, bytes: 100 }] },
  ]);
  assertEquals(timeline.samples, [
    { sample: 0, promptTokens: 4, tokens: [8], slot: { from: 0, to: 8.5 } },
  ]);
  const nothing = timelineOf(recordedSince(recording(), 100), []);
  assertEquals([nothing.ms, nothing.samples], [0, []]);
});

Deno.test("traceEvents() leads a frame through all that is done with it", () => {
  const events = [...traceEvents(recording())];
  const flow = events.filter(({ cat }) => cat === "flow");
  assertEquals(flow.map(({ ph, pid, tid }) => `${ph}${pid}.${tid}`), [
    ..."s1.1 t1.2 t1.2 t2.2 t2.1 t2.2 t2.2 t1.2 t1.1 f1.2".split(" "),
  ]);
  for (const { id, pid, tid, ts } of flow) {
    assertEquals(id, 1);
    const inside = (event: TraceEvent) =>
      event.ph === "X" && event.pid === pid && event.tid === tid && event.ts <= ts &&
      ts <= event.ts + event.dur!;
    assertEquals(events.filter(inside).length, 1);
  }
  const waits = events.filter(({ ph }) => ph === "b").map(({ pid, name, ts, id }) => {
    const end = events.find((event) => event.ph === "e" && event.id === id)!;
    return `${pid} ${name} ${Math.round(end.ts - ts)}`;
  });
  assertEquals(waits, [
    "1 wait for head 500",
    "1 link to b 1000",
    "2 wait for credits 400",
    "2 wait for the stage 400",
    "2 link to a 500",
  ]);
  const names = events.filter(({ ph }) => ph === "M").map(({ args }) => args!.name);
  assertEquals(names.filter(Boolean), [
    "a (starter), layers 0-1",
    "compute",
    "socket thread",
    "b, layers 2-3",
    "compute",
    "socket thread",
  ]);
});

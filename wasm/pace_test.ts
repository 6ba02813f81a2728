import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { type Pace, Pacer, readPace } from "./pace.ts";
import type { StageRange } from "./stage.ts";

const STARTER: StageRange = { embed: true, layers: [0, 3], head: true };

Deno.test("readPace() takes numbers and points", () => {
  const pace = readPace({ layer: { rows: [1, 8], ms: [20, 60] }, head: 5 });
  assertEquals(pace, {
    layer: { rows: [1, 8], ms: [20, 60] },
    head: { rows: [1], ms: [5] },
  });
  assertEquals(readPace(pace), pace, "what it gives is a pace too");
});

Deno.test("readPace() names what is wrong", () => {
  const cases: [unknown, string][] = [
    [null, "it is no object"],
    [[], "it is no object"],
    [{}, "pace.layer"],
    [{ layer: 1, tail: 2 }, 'it has "tail"'],
    [JSON.parse('{"layer":1,"__proto__":{"embed":1}}'), 'it has "__proto__"'],
    [{ layer: -1 }, "pace.layer"],
    [{ layer: "1" }, "pace.layer"],
    [{ layer: 1, head: null }, "pace.head"],
    [{ layer: { rows: [1, 2], ms: [2, "3"] } }, "pace.layer.ms[1]"],
  ];
  for (const [json, message] of cases) assertThrows(() => readPace(json), RangeError, message);
});

Deno.test("readPace() gives a pace or a RangeError, whatever it reads", () => {
  fc.assert(fc.property(fc.jsonValue(), (json) => {
    try {
      readPace({ layer: json });
    } catch (error) {
      assert(error instanceof RangeError);
    }
  }));
});

Deno.test("Pacer counts layers, embed and head as the range has them", () => {
  const pace: Pace = readPace({ layer: 10, embed: 1, head: 5 });
  const ends = (range: StageRange, rows: number) => {
    const pacer = new Pacer(pace, range, () => 0);
    return [pacer.forward(rows), pacer.head(rows)];
  };
  assertEquals(ends(STARTER, 1), [41, 46]);
  assertEquals(ends(STARTER, 3), [123, 138]);
  assertEquals(ends({ embed: true, layers: null, head: true }, 1), [1, 6]);
  assertEquals(ends({ embed: false, layers: [4, 5], head: false }, 2), [40, 50]);
});

Deno.test("Pacer keeps its rate though each answer is late", () => {
  let now = 1000;
  const pacer = new Pacer(readPace({ layer: 10 }), STARTER, () => now);
  const end = pacer.forward(1);
  assertEquals(end, 1040);
  // Two calls wait already; the first is answered 2 ms late.
  assertEquals(pacer.forward(1), 1080);
  now = 1042;
  assertEquals(pacer.forward(1), 1120);
  now = 1200;
  assertEquals(pacer.forward(1), 1240, "an idle stage starts when it is asked");
  assertEquals(pacer.ms, 160);
});

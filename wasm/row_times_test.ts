import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { readRowTimes, timeOf } from "./row_times.ts";

Deno.test("timeOf() is proportional from one point and linear between several", () => {
  assertEquals([1, 2, 10].map((rows) => timeOf({ rows: [1], ms: [3] }, rows)), [3, 6, 30]);
  const several = { rows: [1, 4, 8], ms: [2, 5, 6] };
  assertEquals([1, 2, 4, 6, 8, 12].map((rows) => timeOf(several, rows)), [2, 3, 5, 5.5, 6, 7]);
  // Noise that falls is not carried on below what was measured.
  assertEquals(timeOf({ rows: [1, 2], ms: [3, 2] }, 100), 2);
});

Deno.test("timeOf() goes through every point and lies between neighbours", () => {
  const points = fc.uniqueArray(fc.integer({ min: 2, max: 500 }), { maxLength: 8 }).chain((more) =>
    fc.record({
      rows: fc.constant([1, ...more.sort((a, b) => a - b)]),
      ms: fc.array(fc.nat(1000), { minLength: more.length + 1, maxLength: more.length + 1 }),
    })
  );
  fc.assert(fc.property(points, fc.integer({ min: 1, max: 600 }), ({ rows, ms }, at) => {
    rows.forEach((row, i) => assert(Math.abs(timeOf({ rows, ms }, row) - ms[i]!) < 1e-9));
    const right = rows.findIndex((row) => row >= at);
    if (right < 1) return;
    const [low, high] = [ms[right - 1]!, ms[right]!].sort((a, b) => a - b) as [number, number];
    const value = timeOf({ rows, ms }, at);
    assert(value >= low - 1e-9 && value <= high + 1e-9);
  }));
});

Deno.test("readRowTimes() reads a number or points, and names what is wrong", () => {
  assertEquals(readRowTimes(2.5, "layer_ms"), { rows: [1], ms: [2.5] });
  assertEquals(readRowTimes({ rows: [1, 4], ms: [2, 5] }, "x"), { rows: [1, 4], ms: [2, 5] });
  const refused: [unknown, string][] = [
    [-1, "Cannot use layer_ms: it is -1"],
    [NaN, "give milliseconds"],
    [1e300, "give milliseconds"],
    [null, "it is null"],
    ["2", 'it is "2"'],
    [[1], "it is [1]"],
    [undefined, "it is missing"],
    [{}, '"rows" and "ms" must be lists'],
    [{ rows: [1], ms: [] }, "must be lists"],
    [{ rows: [1, 2], ms: [1] }, "2 rows and 1 ms"],
    [{ rows: [2], ms: [1] }, "rows[0] is 2"],
    [{ rows: [1, 1], ms: [1, 1] }, "rows[1] is 1"],
    [{ rows: [1, 1.5], ms: [1, 1] }, "rows[1] is 1.5"],
    [{ rows: [1, "2"], ms: [1, 1] }, 'rows[1] is "2"'],
    [{ rows: [1, 2], ms: [1, "x"] }, 'layer_ms.ms[1]: it is "x"'],
    [{ rows: Array(1000).fill(1), ms: Array(1000).fill(1) }, "lists of 1 to 64"],
    [JSON.parse('{"__proto__":{"rows":[1],"ms":[1]}}'), "must be lists"],
  ];
  for (const [value, message] of refused) {
    assertThrows(() => readRowTimes(value, "layer_ms"), RangeError, message);
  }
});

Deno.test("readRowTimes() meets any JSON with times or a RangeError", () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    try {
      const { rows, ms } = readRowTimes(value, "x");
      assert(rows.length === ms.length && ms.every((each) => each >= 0));
    } catch (error) {
      assert(error instanceof RangeError, String(error));
    }
  }));
});

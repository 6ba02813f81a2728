import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { parseLayers } from "./parse_layers.ts";

Deno.test("parseLayers() gives each node its consecutive layers", () => {
  assertEquals(parseLayers("12,9,9", ["s", "a", "b"], 30).nodes, [
    { name: "s", layers: [0, 11] },
    { name: "a", layers: [12, 20] },
    { name: "b", layers: [21, 29] },
  ]);
  assertEquals(parseLayers(" 0, 15,15", ["s", "a", "b"], 30).nodes[0], { name: "s", layers: null });
  assertEquals(parseLayers("0,1,1", ["s", "a", "b"], 2).nodes[2], { name: "b", layers: [1, 1] });
  assertEquals(parseLayers("30", ["s"], 30).nodes, [{ name: "s", layers: [0, 29] }]);
});

const refused: [string, string][] = [
  ["12,9,8", "adds up to 29 and the model has 30 layers"],
  ["12,9,10", "adds up to 31"],
  ["15,15", "has 2 numbers and the ring 3 nodes"],
  ["12,9,9,0", "has 4 numbers"],
  ["15,0,15", "a would have no layers"],
  ["15,15,0", "b would have no layers"],
  ["-1,16,15", '"-1" is not a number of layers'],
  ["12,9.5,8.5", '"9.5"'],
  ["NaN,15,15", '"NaN"'],
  ["1e1,10,10", '"1e1"'],
  ["0x0a,10,10", '"0x0a"'],
  ["12,,18", '"" is not'],
  ["", '"" is not'],
  ["12,9,9000000000000000000000", '"9000000000000000000000"'],
];
for (const [text, why] of refused) {
  Deno.test(`parseLayers() refuses "${text}"`, () => {
    assertThrows(() => parseLayers(text, ["s", "a", "b"], 30), RangeError, why);
  });
}

Deno.test("parseLayers() suggests a split that it takes, where there is one", () => {
  assertThrows(() => parseLayers("1", ["s", "a", "b"], 2), RangeError, "at most 2 nodes");
  const error = assertThrows(() => parseLayers("1", ["s", "a", "b"], 31), RangeError);
  const example = /give (.*) for one$/.exec(error.message)![1]!;
  assertEquals(example, "11,10,10");
  parseLayers(example, ["s", "a", "b"], 31);
});

Deno.test("parseLayers() takes exactly what adds up, with a layer for each secondary", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: -1, max: 5 }), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 12 }),
      (counts, layers) => {
        const names = counts.map((_, i) => `n${i}`);
        const valid = counts.every((count, i) => count >= (i === 0 ? 0 : 1)) &&
          counts.reduce((a, b) => a + b) === layers;
        const parse = () => parseLayers(counts.join(","), names, layers);
        if (!valid) return void assertThrows(parse, RangeError);
        const covered = parse().nodes.flatMap(({ layers }) => layers ?? []);
        assert(covered[0] === 0 && covered.at(-1) === layers - 1);
      },
    ),
    { seed: 7, numRuns: 2000 },
  );
});

Deno.test("parseLayers() meets any text with a split or a RangeError", () => {
  const digits = fc.string({ unit: fc.constantFrom(..."0123456789,, +-.ex"), maxLength: 12 });
  const text = fc.oneof(digits, fc.string({ unit: "binary", maxLength: 100 }));
  fc.assert(fc.property(text, fc.integer({ min: 1, max: 5 }), (text, nodes) => {
    const names = Array.from({ length: nodes }, (_, i) => `n${i}`);
    try {
      assert(parseLayers(text, names, 6).nodes.length === nodes);
    } catch (error) {
      assert(error instanceof RangeError, String(error));
    }
  }));
});

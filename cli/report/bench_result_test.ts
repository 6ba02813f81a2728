import { assertEquals, assertThrows } from "@std/assert";
import { readBenchResult } from "./bench_result.ts";

const MACHINE = {
  date: "2026-01-01T00:00:00.000Z",
  arch: "x86_64",
  os: "linux",
  cpu: null,
  cores: 2,
  memoryBytes: 8e9,
  deno: "2.9.5",
  v8: "15",
  mdi: "0.1.0",
  simd: "plain",
  dotProduct: "signed",
  load: [],
};
const FIGURE = { group: "link", name: "a", unit: "ms", better: "less", values: [1], of: {} };
const RESULT = {
  format: "mdi-bench",
  version: 1,
  machine: MACHINE,
  model: { name: "m", generated: false },
  quick: true,
  figures: [FIGURE],
};

Deno.test("readBenchResult() reads what a bench wrote", () => {
  assertEquals(readBenchResult(JSON.stringify(RESULT), "a.json").figures.length, 1);
});

Deno.test("readBenchResult() refuses other files and says why", () => {
  const cases: [string, string][] = [
    ["{", "it is no JSON"],
    ["[]", 'no "format"'],
    ["null", 'no "format"'],
    [JSON.stringify({ machine: {}, values: {} }), 'no "format"'],
    [JSON.stringify({ ...RESULT, version: 2 }), "version 2, this is 1"],
    [JSON.stringify({ ...RESULT, machine: {} }), '"machine"'],
    [JSON.stringify({ ...RESULT, model: { name: "m" } }), '"model"'],
    [JSON.stringify({ ...RESULT, quick: 1 }), '"quick"'],
    [JSON.stringify({ ...RESULT, figures: {} }), '"figures"'],
    [JSON.stringify({ ...RESULT, figures: [{ ...FIGURE, values: [] }] }), '"figures[0]"'],
    [JSON.stringify({ ...RESULT, figures: [{ ...FIGURE, values: [null] }] }), '"figures[0]"'],
    [JSON.stringify({ ...RESULT, figures: [{ ...FIGURE, group: "x" }] }), '"figures[0]"'],
    [JSON.stringify({ ...RESULT, figures: [FIGURE, FIGURE] }), 'two figures "a"'],
  ];
  for (const [text, message] of cases) {
    assertThrows(() => readBenchResult(text, "a.json"), TypeError, message, text);
  }
});

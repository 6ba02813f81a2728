import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { DEFAULT_FILE } from "../../engine/pull/default_model.ts";
import { CLEAR_MARGIN, compareTokens } from "./compare.ts";
import { GOLDEN, type GoldenPrompt } from "./golden.ts";

const prompt: GoldenPrompt = {
  ...{ name: "p", prompt: "x", prompt_ids: [1, 2], ids: [5, 6, 7, 8] },
  margins: [1, 0.1, 2, CLEAR_MARGIN],
};
const right = { promptIds: [1, 2], ids: [5, 6, 7, 8] };

Deno.test("GOLDEN is of the default model's file", () => {
  assertEquals(GOLDEN.sha256, DEFAULT_FILE.sha256);
  assertEquals(GOLDEN.file, DEFAULT_FILE.file);
  assertEquals(GOLDEN.prompts.length, 3);
  for (const { ids, margins, prompt_ids } of GOLDEN.prompts) {
    assertEquals([ids.length, margins.length], [48, 48]);
    assert(prompt_ids.length > 0 && margins.every((margin) => margin > 0));
  }
  // More than one chunk of a prefill.
  assert(GOLDEN.prompts.some(({ prompt_ids }) => prompt_ids.length > 32));
});

Deno.test("compareTokens() finds all tokens equal", () => {
  const expected = { tokens: 8, equal: 8, differences: [], unclear: [] };
  assertEquals(compareTokens([prompt, prompt], [right, right], true), expected);
});

Deno.test("compareTokens() finds the first difference, and counts what is before it", () => {
  fc.assert(fc.property(fc.nat(3), fc.boolean(), (at, exact) => {
    const ids = prompt.ids.map((id, i) => i < at ? id : id + 100);
    const found = compareTokens([prompt], [{ ...right, ids }], exact);
    assertEquals(found.equal, at);
    const may = !exact && prompt.margins[at]! < CLEAR_MARGIN;
    assertEquals([found.differences.length, found.unclear.length], may ? [0, 1] : [1, 0]);
    assertEquals([...found.differences, ...found.unclear][0], {
      ...{ prompt: "p", of: "answer", token: at + 1, margin: prompt.margins[at] },
      ...{ expected: prompt.ids[at], got: ids[at] },
    });
  }));
});

Deno.test("compareTokens() excuses no missing, extra or wrongly encoded token", () => {
  for (const ids of [[5], [5, 6, 7, 8, 9], []]) {
    const { differences } = compareTokens([prompt], [{ ...right, ids }], false);
    assertEquals(differences.length, 1, `${ids}`);
  }
  assertEquals(compareTokens([prompt], [], false).differences.length, 1);
  const { equal, differences } = compareTokens([prompt], [{ ...right, promptIds: [1] }], true);
  assertEquals(equal, 0);
  assertEquals(differences, [
    { prompt: "p", of: "prompt", token: 2, expected: 2, got: null, margin: null },
  ]);
});

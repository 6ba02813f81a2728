import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { LoadedSource } from "../emit/_loaded_source.ts";
import { FIXTURES, readOracle } from "../emit/_oracle.ts";
import { openGguf } from "./source.ts";

const FIXTURE_NAMES = ["tiny-llama-untied", "tiny-llama-tied", "tiny-llama3-rope-tied"];
const TYPES = ["f32", "f16", "q8_0", "q4_0", "q4_1"];

/**
 * For every type alike: weights are expanded to the very f32 that the oracle used, so only the order of
 * additions differs. Measured: at most 4e-5.
 */
const TOLERANCE = 2e-4;

for (const fixture of FIXTURE_NAMES) {
  for (const type of TYPES) {
    Deno.test(`openGguf() gives blocks that compute ${fixture} ${type} as the oracle`, async () => {
      const file = `gguf/model-${type}.gguf`;
      await using source = await openGguf(join(FIXTURES, fixture, file));
      await using loaded = await LoadedSource.load(source);
      for (const { ids, greedy, logits } of readOracle(fixture, file)) {
        const got = await loaded.logits(ids);
        assertEquals(got.length, logits.length);
        const worst = got.reduce((max, value, i) => Math.max(max, Math.abs(value - logits[i]!)), 0);
        assert(worst < TOLERANCE, `a logit is off by ${worst}`);
        assertEquals(await loaded.greedy(ids, greedy.length), greedy);
      }
    });
  }
}

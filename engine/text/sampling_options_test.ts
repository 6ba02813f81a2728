import { assertEquals, assertThrows } from "@std/assert";
import { resolveSampling, type SamplingRequest } from "./sampling_options.ts";

const SEED = { seed: 1n };

Deno.test("resolveSampling() takes the request, else the model's config, else 0.7 and 0.95", () => {
  const { temperature, topP, topK, greedy } = resolveSampling(SEED, {});
  assertEquals({ temperature, topP, topK, greedy }, {
    temperature: 0.7,
    topP: 0.95,
    topK: 0,
    greedy: false,
  });
  const model = resolveSampling(SEED, { temperature: 0.6, topK: 20 });
  assertEquals([model.temperature, model.topK, model.topP], [0.6, 20, 1]);
  const asked = resolveSampling({ ...SEED, topP: 0.5 }, {
    temperature: 0.6,
    repetitionPenalty: 1.1,
  });
  assertEquals([asked.temperature, asked.topP, asked.repetitionPenalty], [0.6, 0.5, 1.1]);
});

Deno.test("resolveSampling() is greedy when told so, at temperature 0 and for a greedy model", () => {
  assertEquals(resolveSampling({ ...SEED, greedy: true }, {}).greedy, true);
  assertEquals(resolveSampling({ ...SEED, temperature: 0 }, {}).greedy, true);
  assertEquals(resolveSampling(SEED, { doSample: false }).greedy, true);
  assertEquals(resolveSampling({ ...SEED, temperature: 1 }, { doSample: false }).greedy, false);
});

Deno.test("resolveSampling() names the value that is out of range", () => {
  const cases: [SamplingRequest, string][] = [
    [{ temperature: NaN }, "temperature NaN"],
    [{ temperature: -1 }, "temperature -1"],
    [{ temperature: Infinity }, "temperature Infinity"],
    [{ topK: -1 }, "top-k -1"],
    [{ topK: 1.5 }, "top-k 1.5"],
    [{ topP: 1.01 }, "top-p 1.01"],
    [{ topP: NaN }, "top-p NaN"],
    [{ minP: -0.1 }, "min-p -0.1"],
    [{ repetitionPenalty: 0 }, "repetition penalty 0"],
    [{ seed: -1 }, "seed -1"],
    [{ seed: 0.5 }, "seed 0.5"],
    [{ seed: 2n ** 64n }, "seed 18446744073709551616"],
    [{ stream: -1 }, "stream -1"],
  ];
  for (const [request, message] of cases) {
    assertThrows(() => resolveSampling({ ...SEED, ...request }, {}), RangeError, message);
  }
});

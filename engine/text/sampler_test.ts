import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MdiError } from "../../wasm/error.ts";
import { createSampler } from "./sampler.ts";
import { resolveSampling, type SamplingRequest } from "./sampling_options.ts";

const OFF: SamplingRequest = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 1n };

function sampler(request: SamplingRequest) {
  return createSampler(resolveSampling({ ...OFF, ...request }, {}));
}

/** The warpers of transformers as its source has them: sort, softmax, cut. Probabilities by id. */
function reference(logits: Float32Array, request: SamplingRequest, history: number[]): number[] {
  const { temperature = 1, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1 } = request;
  let scores = Array.from(logits);
  for (const id of new Set(history)) {
    const score = scores[id]!;
    scores[id] = Math.fround(score < 0 ? score * repetitionPenalty : score / repetitionPenalty);
  }
  scores = scores.map((score) => score / temperature);
  if (topK > 0) {
    const kth = scores.toSorted((a, b) => b - a)[Math.min(topK, scores.length) - 1]!;
    scores = scores.map((score) => score < kth ? -Infinity : score);
  }
  if (topP < 1) {
    const probabilities = softmax(scores);
    const order = scores.map((_, id) => id).sort((a, b) => scores[b]! - scores[a]! || a - b);
    let before = 0;
    order.forEach((id, rank) => {
      if (rank > 0 && before >= topP) scores[id] = -Infinity;
      before += probabilities[id]!;
    });
  }
  const probabilities = softmax(scores);
  const bound = minP * Math.max(...probabilities);
  return softmax(scores.map((score, id) => probabilities[id]! < bound ? -Infinity : score));
}

function softmax(scores: number[]): number[] {
  const largest = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - largest));
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}

/** Shares of ids among many draws. */
function shares(logits: Float32Array, request: SamplingRequest, history: number[], draws: number) {
  const drawn = new Array<number>(logits.length).fill(0);
  const made = sampler(request);
  for (let i = 0; i < draws; i++) drawn[made.sample(logits, history)]! += 1 / draws;
  return drawn;
}

Deno.test("Sampler keeps and weighs the tokens that transformers' warpers would", () => {
  const request = fc.record({
    temperature: fc.double({ min: 0.3, max: 3, noNaN: true }),
    topK: fc.integer({ min: 0, max: 12 }),
    topP: fc.double({ min: 0, max: 1, noNaN: true }),
    minP: fc.double({ min: 0, max: 1, noNaN: true }),
    repetitionPenalty: fc.double({ min: 0.5, max: 2, noNaN: true }),
    seed: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  });
  // Coarse values, so that many logits are equal.
  const logits = fc.array(fc.integer({ min: -12, max: 12 }), { minLength: 1, maxLength: 24 });
  fc.assert(
    fc.property(
      request,
      logits,
      fc.array(fc.nat(23), { maxLength: 6 }),
      (options, values, past) => {
        const row = Float32Array.from(values, (value) => value / 4);
        const history = past.filter((id) => id < row.length);
        const expected = reference(row, options, history);
        const drawn = shares(row, options, history, 300);
        drawn.forEach((share, id) => {
          if (share > 0) assert(expected[id]! > 0, `drew ${id}, which is cut off`);
          // Six standard deviations of 300 draws.
          const spread = 6 * Math.sqrt(expected[id]! * (1 - expected[id]!) / 300) + 1e-9;
          assert(Math.abs(share - expected[id]!) <= spread + 0.02, `${id}: ${share}`);
        });
      },
    ),
    { numRuns: 300, seed: 42 },
  );
});

Deno.test("Sampler draws in proportion to the probabilities", () => {
  const logits = Float32Array.from([0, 1, 2, 3, -1, 0.5]);
  const draws = 20_000;
  const expected = softmax(Array.from(logits));
  const drawn = shares(logits, {}, [], draws);
  const chiSquare = drawn.reduce(
    (sum, share, id) => sum + draws * (share - expected[id]!) ** 2 / expected[id]!,
    0,
  );
  // Five degrees of freedom: 20.5 is exceeded once in a thousand seeds, and this seed is fixed.
  assert(chiSquare < 20.5, `chi-square ${chiSquare}`);
});

Deno.test("Sampler repeats itself for the same seed and stream only", () => {
  const logits = Float32Array.from({ length: 1000 }, (_, id) => (id * 37 % 101) / 20);
  const run = (request: SamplingRequest) => {
    const made = sampler({ topP: 0.9, ...request });
    return Array.from({ length: 20 }, () => made.sample(logits, []));
  };
  // Golden: these very ids on every machine.
  assertEquals(run({ seed: 5n }).slice(0, 8), [605, 666, 496, 188, 575, 221, 554, 89]);
  assertEquals(run({ seed: 5n }), run({ seed: 5n }));
  assert(run({ seed: 5n }).join() !== run({ seed: 6n }).join());
  assert(run({ seed: 5n }).join() !== run({ seed: 5n, stream: 1 }).join());
});

Deno.test("Sampler is greedy with the first of equal logits, and with the penalty", () => {
  const logits = Float32Array.from([1, 3, -1, 3]);
  assertEquals(sampler({ greedy: true }).sample(logits, []), 1);
  assertEquals(sampler({ greedy: true, repetitionPenalty: 2 }).sample(logits, [1, 1]), 3);
  assertEquals(sampler({ topK: 1, topP: 0, minP: 1 }).sample(logits.subarray(0, 3), []), 1);
  assertEquals(logits, Float32Array.from([1, 3, -1, 3]));
});

Deno.test("Sampler refuses logits that are not numbers", () => {
  for (const request of [{ greedy: true }, { topP: 0.9 }]) {
    for (const values of [[1, NaN], [-Infinity, -Infinity], [Infinity, 1], []]) {
      const logits = Float32Array.from(values);
      const error = assertThrows(() => sampler(request).sample(logits, []), MdiError);
      assertEquals(error.code, "internal");
    }
  }
});

Deno.test("Sampler works on flat and on large vocabularies", () => {
  for (const vocab of [49_152, 151_936]) {
    const flat = new Float32Array(vocab);
    for (const request of [{ topP: 0.5 }, { topK: 40 }, { minP: 0.1 }, { topK: 1000, topP: 0.9 }]) {
      const id = sampler(request).sample(flat, []);
      assert(id >= 0 && id < vocab);
    }
    // Equal logits are kept by id, so half of the mass is the first half.
    assert(sampler({ topP: 0.5 }).sample(flat, []) < vocab / 2);
  }
});

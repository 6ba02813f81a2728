import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MAX_CANDIDATES, takeCandidates } from "../../wasm/candidates.ts";
import { MdiError } from "../../wasm/error.ts";
import { createSampler, type Sampler } from "./sampler.ts";
import { SplitMix64 } from "./random.ts";
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

/** A draw that sees the candidates alone where they decide; tells whether they did. */
function drawFromFew(made: Sampler, logits: Float32Array, more = 0): [number, boolean] {
  const count = Math.min(made.candidates! + more, MAX_CANDIDATES);
  const row = takeCandidates(logits, logits.length, count);
  return made.isDecidedBy(row)
    ? [made.sampleCandidates(row), true]
    : [made.sample(logits, []), false];
}

Deno.test("Sampler.sampleCandidates() draws what sample() does, draw after draw", () => {
  const request = fc.record({
    greedy: fc.boolean(),
    temperature: fc.double({ min: 0.05, max: 3, noNaN: true }),
    topK: fc.integer({ min: 1, max: 40 }),
    topP: fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true })),
    minP: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true })),
    seed: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  });
  const logit = fc.oneof(
    { weight: 8, arbitrary: fc.float({ min: -20, max: 20, noNaN: true }) },
    { weight: 2, arbitrary: fc.integer({ min: -2, max: 12 }) },
    { weight: 1, arbitrary: fc.constantFrom(-Infinity, 0, -0) },
  );
  const rows = fc.array(fc.array(logit, { minLength: 1, maxLength: 80 }), { minLength: 1 });
  let [decided, all] = [0, 0];
  fc.assert(
    fc.property(request, rows, fc.nat(3), (options, values, more) => {
      const [whole, few] = [sampler(options), sampler(options)];
      for (const row of values) {
        const logits = Float32Array.from([...row, 1]); // one is finite
        for (let draw = 0; draw < 8; draw++) {
          const [id, fromFew] = drawFromFew(few, logits, more);
          assertEquals(id, whole.sample(logits, []));
          all++;
          if (fromFew) decided++;
        }
      }
    }),
    { numRuns: 300, seed: 7 },
  );
  assert(decided > all / 2 && decided < all, `${decided} of ${all} draws saw candidates alone`);
});

Deno.test("Sampler.sampleCandidates() draws what sample() does from a large vocabulary", () => {
  const random = new SplitMix64(3n);
  const logits = Float32Array.from({ length: 49_152 }, () => 24 * random.nextFloat() ** 2);
  for (const topK of [1, 2, 50, 1000, MAX_CANDIDATES - 1]) {
    for (const topP of [0.5, 0.95, 1]) {
      const request = { topK, topP, temperature: 1.5 };
      const [whole, few] = [sampler(request), sampler(request)];
      for (let draw = 0; draw < 20; draw++) {
        assertEquals(drawFromFew(few, logits)[0], whole.sample(logits, []));
      }
    }
  }
});

Deno.test("Sampler.candidates is null where a token may depend on all logits", () => {
  assertEquals(sampler({ greedy: true }).candidates, 1);
  assertEquals(sampler({ topK: 50, topP: 0.9, minP: 0.1 }).candidates, 51);
  assertEquals(sampler({ topK: MAX_CANDIDATES - 1 }).candidates, MAX_CANDIDATES);
  for (
    const request of [
      {},
      { topP: 0.95 },
      { minP: 0.1 },
      { topK: MAX_CANDIDATES },
      { topK: 50, repetitionPenalty: 1.1 },
      { greedy: true, topK: 50, repetitionPenalty: 1.1 },
    ]
  ) {
    assertEquals(sampler(request).candidates, null);
  }
});

Deno.test("Sampler.isDecidedBy() wants all equals of the k-th largest logit", () => {
  const made = sampler({ topK: 2 });
  const decided = (...values: number[]) =>
    made.isDecidedBy(takeCandidates(Float32Array.from(values), values.length, 3));
  assert(decided(3, 1, 2));
  assert(decided(3, 3, 2));
  assert(!decided(3, 2, 2));
  assert(decided(2, 2));
  assert(decided(2));
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
  for (const values of [[1, NaN, NaN], [-Infinity, -Infinity], [1, Infinity], [0, 1, 2, 3, NaN]]) {
    const logits = Float32Array.from(values);
    const expected = assertThrows(() => sampler({}).sample(logits, []), MdiError);
    for (const request of [{ greedy: true }, { topK: 1 }, { topK: 2 }, { topK: 9 }]) {
      const made = sampler(request);
      const row = takeCandidates(logits, logits.length, made.candidates!);
      const error = assertThrows(() => made.sampleCandidates(row), MdiError);
      assertEquals(
        [error.code, error.message, error.details],
        [expected.code, expected.message, expected.details],
      );
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

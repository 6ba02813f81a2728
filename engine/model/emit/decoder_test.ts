import { assert, assertEquals } from "@std/assert";
import type { ModelConfig, RopeScaling } from "../types.ts";
import { LoadedSource } from "./_loaded_source.ts";
import { referenceLogits } from "./_reference_decoder.ts";
import { decoderBlocks } from "./decoder.ts";
import type { DecoderWeights, Linear, Matrix } from "./weights.ts";

const CONFIG: ModelConfig = {
  architecture: "llama",
  layers: 2,
  hidden: 24,
  heads: 6,
  kvHeads: 2,
  headDim: 16,
  intermediate: 40,
  vocab: 50,
  context: 64,
  bosToken: null,
  eosTokens: [],
  normEpsilon: 1e-5,
  ropeTheta: 10000,
};

/** Seeded random weights, and the same by name for the reference. */
class RandomWeights implements DecoderWeights {
  readonly byName = new Map<string, Float32Array>();
  readonly embed: Matrix;
  #state = 1;

  constructor(
    readonly config: ModelConfig,
    readonly options: { bias: boolean; headNorms: boolean; tied: boolean },
  ) {
    this.embed = this.#matrix("embed", config.vocab, config.hidden);
  }

  layer(i: number) {
    const { hidden, heads, kvHeads, headDim, intermediate } = this.config;
    const norms = this.options.headNorms && {
      queryNorm: this.#vector(`${i}.q_norm`, headDim, 1),
      keyNorm: this.#vector(`${i}.k_norm`, headDim, 1),
    };
    return Promise.resolve({
      inputNorm: this.#vector(`${i}.input_norm`, hidden, 1),
      postAttentionNorm: this.#vector(`${i}.post_norm`, hidden, 1),
      query: this.#linear(`${i}.q`, heads * headDim, hidden),
      key: this.#linear(`${i}.k`, kvHeads * headDim, hidden),
      value: this.#linear(`${i}.v`, kvHeads * headDim, hidden),
      output: this.#linear(`${i}.o`, hidden, heads * headDim),
      gate: this.#linear(`${i}.gate`, intermediate, hidden),
      up: this.#linear(`${i}.up`, intermediate, hidden),
      down: this.#linear(`${i}.down`, hidden, intermediate),
      ...norms,
    });
  }

  head() {
    const { hidden, vocab } = this.config;
    const norm = this.#vector("norm", hidden, 1);
    if (!this.options.tied) {
      return Promise.resolve({ norm, weight: this.#matrix("head", vocab, hidden) });
    }
    this.byName.set("head", this.byName.get("embed")!);
    return Promise.resolve({ norm, weight: null });
  }

  #linear(name: string, n: number, k: number): Linear {
    const weight = this.#matrix(name, n, k);
    return this.options.bias ? { weight, bias: this.#vector(`${name}.bias`, n, 0) } : { weight };
  }

  #matrix(name: string, n: number, k: number): Matrix {
    const values = this.#vector(name, n * k, 0);
    const bytes = new Uint8Array(values.buffer);
    return {
      type: "F32",
      n,
      k,
      data: {
        bytes: bytes.length,
        async *chunks() {
          yield await Promise.resolve(bytes);
        },
      },
    };
  }

  /** Values within 0.5 of `centre`, by a linear congruential generator. */
  #vector(name: string, length: number, centre: number): Float32Array<ArrayBuffer> {
    const values = Float32Array.from({ length }, () => {
      this.#state = Math.imul(this.#state, 1664525) + 1013904223 >>> 0;
      return centre + this.#state / 2 ** 32 - 0.5;
    });
    this.byName.set(name, values);
    return values;
  }
}

const IDS = [3, 49, 0, 17, 17, 21, 8, 30, 1, 44, 5];

const LINEAR: RopeScaling = { type: "linear", factor: 2 };
const CASES = [
  { name: "a plain decoder (Llama)", bias: false, headNorms: false, tied: false },
  { name: "a tied head", bias: false, headNorms: false, tied: true },
  { name: "biases (Qwen2)", bias: true, headNorms: false, tied: false },
  {
    name: "normalised heads wider than hidden / heads (Qwen3)",
    bias: false,
    headNorms: true,
    tied: true,
  },
  {
    name: "one key head a query head, linear scaling",
    bias: false,
    headNorms: false,
    tied: false,
    more: { kvHeads: 6, ropeScaling: LINEAR },
  },
];

for (const { name, more, ...options } of CASES) {
  Deno.test(`decoderBlocks() computes as the reference: ${name}`, async () => {
    const config = { ...CONFIG, ...more };
    const weights = new RandomWeights(config, options);
    await using loaded = await LoadedSource.load({
      name,
      config,
      blocks: () => decoderBlocks(config, weights),
    });
    const expected = referenceLogits(config, weights.byName, IDS);
    const got = await loaded.logits(IDS);
    assertEquals(got.length, IDS.length * config.vocab);
    // Logits reach about ±10.
    const worst = got.reduce(
      (max, value, i) =>
        Math.max(max, Math.abs(value - expected[Math.floor(i / config.vocab)]![i % config.vocab]!)),
      0,
    );
    assert(worst < 1e-4, `a logit is off by ${worst}`);
  });
}

Deno.test("decoderBlocks() names blocks, shares the tied weight and counts parameters", async () => {
  const weights = new RandomWeights(CONFIG, { bias: false, headNorms: false, tied: true });
  const recipes = [];
  for await (const recipe of decoderBlocks(CONFIG, weights)) recipes.push(recipe);
  assertEquals(recipes.map(({ name }) => name), ["shared", "embed", "layer.0", "layer.1", "head"]);
  const head = recipes.at(-1)!;
  assertEquals([...head.elsewhere.values()], [["embed", "embed_tokens.weight"]]);
  assertEquals(head.data.size, 0);
  assertEquals(head.parameters, 24);
  assertEquals(recipes[1]!.parameters, 50 * 24);
  assertEquals(recipes[2]!.parameters, 2 * 24 + 96 * 24 + 2 * 32 * 24 + 24 * 96 + 3 * 40 * 24);
  assertEquals(recipes[2]!.dtypes, ["F32"]);
});

/**
 * The reference paper's experiment: three samples of 800 tokens with NanoLlama on one to three Jetson TX2. The
 * shape is that of 304 million weights: 12 layers of width 1024, MLPs of 5632, 16 heads of which 4 for keys and
 * values, a vocabulary of 32000 with an untied head.
 *
 * One board's published rate gives the time of a token; decoding reads every weight once, so layers and head are
 * given their shares of it by weights. Looking up one row of the embedding takes nothing.
 */
import type { Pace } from "../wasm/pace.ts";

const WIDTH = 1024;
const MLP = 5632;
const KV_WIDTH = WIDTH / 4;
const VOCAB = 32_000;

/** Layers of the model. */
export const LAYERS = 12;
/** Samples of the experiment, and tokens of each. */
export const SAMPLES = 3;
export const TOKENS = 800;
/** Bytes of a row of hidden state on the wire, its header included. */
export const ROW_BYTES = 4 * WIDTH + 64;

const LAYER_WEIGHTS = 2 * WIDTH * WIDTH + 2 * WIDTH * KV_WIDTH + 3 * WIDTH * MLP;
const HEAD_WEIGHTS = VOCAB * WIDTH;
/** Bytes of a weight, as f16, and of a value of a KV cache, as f32. */
const WEIGHT_BYTES = 2;
const KV_BYTES = 4;

/** What was published: tokens a second, and layers of each board. */
export const PUBLISHED = [
  { layers: [12], tokensPerSecond: 17.9 },
  { layers: [5, 7], tokensPerSecond: 25.9 },
  { layers: [2, 5, 5], tokensPerSecond: 30.3 },
] as const;

/** One board, in ms. */
export function jetsonTx2(): Pace & { embed: Pace["layer"]; head: Pace["layer"] } {
  const tokenMs = 1000 / PUBLISHED[0].tokensPerSecond;
  const perWeight = tokenMs / (LAYERS * LAYER_WEIGHTS + HEAD_WEIGHTS);
  const row = (ms: number) => ({ rows: [1], ms: [ms] });
  return {
    layer: row(LAYER_WEIGHTS * perWeight),
    embed: row(0),
    head: row(HEAD_WEIGHTS * perWeight),
  };
}

/** What a board holds for so many layers. */
export function memoryOf(
  layers: number,
  starter: boolean,
): { weightBytes: number; kvBytes: number } {
  const ends = starter ? 2 * HEAD_WEIGHTS : 0;
  return {
    weightBytes: WEIGHT_BYTES * (layers * LAYER_WEIGHTS + ends),
    kvBytes: KV_BYTES * 2 * KV_WIDTH * layers * SAMPLES * TOKENS,
  };
}

/** Bytes of a layer, of embed and of head, and of a layer's caches for each token. */
export const MODEL_BYTES = {
  layerBytes: WEIGHT_BYTES * LAYER_WEIGHTS,
  embedBytes: WEIGHT_BYTES * HEAD_WEIGHTS,
  headBytes: WEIGHT_BYTES * HEAD_WEIGHTS,
  kvBytesPerTokenLayer: KV_BYTES * 2 * KV_WIDTH,
};

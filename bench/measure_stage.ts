/** What one node's stage takes for decode and prompts: timed from the outside, head and choice of a token with them. */
import type { Stage } from "../wasm/stage.ts";

/** Tokens decoded for one figure, after some that are not timed: a stage learns how many threads help. */
export const TOKENS = 16;
const UNTIMED = 48;

/** Made-up tokens below `vocab`, the same as for the peers where it is large enough. */
export function idsOf(count: number, vocab = 49152): Int32Array {
  const [first, span] = vocab >= 41000 ? [1000, 40000] : [1, vocab - 1];
  return Int32Array.from({ length: count }, (_, i) => first + i * 7919 % span);
}

/** Appends tokens to samples, one or more each, and takes the greedy next ids. */
export async function step(
  stage: Stage,
  samples: number,
  position: number,
  ids: Int32Array,
): Promise<void> {
  const rows = ids.length / samples;
  const segments = Array.from({ length: samples }, (_, sample) => ({ sample, position, rows }));
  const hidden = await stage.forward({ segments, ids });
  const width = hidden.length / ids.length;
  await stage.candidates(rows === 1 ? hidden : hidden.slice(-width), 1);
}

/** Fills the caches of samples up to a length, in chunks as a ring does. */
export async function fill(
  stage: Stage,
  samples: number,
  length: number,
  vocab?: number,
): Promise<void> {
  const ids = idsOf(length, vocab);
  for (let sample = 0; sample < samples; sample++) {
    stage.truncate(sample, 0);
    for (let position = 0; position < length; position += 32) {
      const part = ids.slice(position, position + 32);
      await stage.forward({ segments: [{ sample, position, rows: part.length }], ids: part });
    }
  }
}

/** Milliseconds of a step that adds a token to each sample; their caches are filled up to `at` and stay so. */
export async function timeDecode(
  stage: Stage,
  samples: number,
  at: number,
  { untimed = UNTIMED, vocab }: { untimed?: number; vocab?: number | undefined } = {},
): Promise<number> {
  const ids = idsOf(samples, vocab);
  for (let i = 0; i < untimed; i++) await step(stage, samples, at + i, ids);
  for (let sample = 0; sample < samples; sample++) stage.truncate(sample, at);
  const start = performance.now();
  for (let i = 0; i < TOKENS; i++) await step(stage, samples, at + i, ids);
  const ms = (performance.now() - start) / TOKENS;
  for (let sample = 0; sample < samples; sample++) stage.truncate(sample, at);
  return ms;
}

/** Milliseconds of a prompt of that many tokens. */
export async function prefill(stage: Stage, tokens: number, vocab?: number): Promise<number> {
  const start = performance.now();
  await fill(stage, 1, tokens - 1, vocab);
  await step(stage, 1, tokens - 1, idsOf(1, vocab));
  return performance.now() - start;
}

/**
 * Compares the kernels with ONNX Runtime on one block and a small random input: a graph that only looks like
 * a decoder's must not run on them.
 */
import type { Batch, Stage } from "../stage.ts";

/** Relative L2 error that int8 activations explain, and that f32 arithmetic does. */
export const TOLERANCE = { quantised: 2e-2, float: 1e-4 } as const;

/** Rows of a layer's input: a chunk, then one row more. */
const CHUNK = 6;
/** Rows of a head's input. */
const HEAD_ROWS = 2;

/** What a block is asked. */
export interface Probe {
  kind: "embed" | "layer" | "head";
  /** Batches of sample 0 in sequence; of a head, its hidden rows. */
  batches: Batch[];
}

/** A random input for a block. */
export function makeProbe(
  kind: Probe["kind"],
  { dModel, vocab }: { dModel: number; vocab: number },
): Probe {
  const random = randomRows(dModel);
  const batch = (position: number, rows: number): Batch => {
    const segments = [{ sample: 0, position, rows }];
    return kind === "embed"
      ? { segments, ids: Int32Array.from({ length: rows }, (_, i) => i * 7919 % vocab) }
      : { segments, hidden: random(rows) };
  };
  return {
    kind,
    batches: kind === "layer" ? [batch(0, CHUNK), batch(CHUNK, 1)] : [batch(0, HEAD_ROWS)],
  };
}

/** What a stage of that one block says. */
export async function answer(stage: Stage, { kind, batches }: Probe): Promise<Float32Array[]> {
  const answers: Float32Array[] = [];
  if (kind !== "head") stage.open(0, CHUNK + 1);
  for (const batch of batches) {
    answers.push(
      kind === "head" ? await stage.logits(batch.hidden!) : await stage.forward(batch),
    );
  }
  return answers;
}

/** ‖a - b‖ / ‖b‖ over all outputs; of a layer, over what it adds to its input. NaN where an output is. */
export function relativeError(probe: Probe, a: Float32Array[], b: Float32Array[]): number {
  let difference = 0;
  let reference = 0;
  probe.batches.forEach(({ hidden }, at) => {
    const expected = b[at]!;
    const from = probe.kind === "layer" ? hidden! : new Float32Array(expected.length);
    for (let i = 0; i < expected.length; i++) {
      difference += (a[at]![i]! - expected[i]!) ** 2;
      reference += (expected[i]! - from[i]!) ** 2;
    }
  });
  return Math.sqrt(difference / reference);
}

/** Rows with values about a normal distribution's: sums of four of a linear congruential generator's. */
function randomRows(dModel: number): (rows: number) => Float32Array {
  let state = 1;
  const uniform = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32 - 0.5;
  const value = () => 1.7 * (uniform() + uniform() + uniform() + uniform());
  return (rows) => Float32Array.from({ length: rows * dModel }, value);
}

/**
 * Compares the kernels with ONNX Runtime on one block and a small random input: a graph that only looks like
 * a decoder's must not run on them.
 */
import type { Batch, Stage } from "../stage.ts";
import type { DecoderBlock, Matrix } from "./decoder.ts";

/**
 * Largest relative L2 error that the two ways of computing explain. Measured are, at most, the figures of the
 * fixtures' random weights, which a trained model's are below; a wrong graph is off by tenths.
 */
const TOLERANCE = {
  /** The order of additions: 9e-7. */
  float: 1e-4,
  /** ONNX Runtime rounds to f16 between the operations of a graph that has weights of f16: 2e-3. */
  half: 5e-3,
  /** The kernels' activations are int8 in blocks of 32: 2.1e-2. */
  quantised: 3e-2,
  /** Those of dynamically quantised exports are int8 in ONNX Runtime, too, with one scale for a tensor: 3e-2. */
  int8: 5e-2,
} as const;

/** Rows of a layer's input: a chunk, then one row more. */
const CHUNK = 6;
/** Rows of a head's input. */
const HEAD_ROWS = 2;
/** Token ids that are looked up. */
const IDS = 16;
/** How much a layer with a norm at its end is asked less: beside large rows it would hide what is added to them. */
const SMALL = 1 / 16;

/** What a block is asked. */
export interface Probe {
  kind: DecoderBlock["kind"];
  /** Whether a block adds to its input: then what it adds is compared. */
  adds: boolean;
  /** Batches of sample 0 in sequence; of a head, its hidden rows. */
  batches: Batch[];
}

/** A random input for a block. */
export function makeProbe(
  block: DecoderBlock,
  { dModel, vocab }: { dModel: number; vocab: number },
): Probe {
  const { kind } = block;
  const adds = kind === "layer" && block.outputNorm === null;
  const random = randomRows(dModel, kind === "layer" && !adds ? SMALL : 1);
  const segments = (position: number, rows: number) => [{ sample: 0, position, rows }];
  const batch = (position: number, rows: number): Batch => ({
    segments: segments(position, rows),
    hidden: random(rows),
  });
  switch (kind) {
    case "embed": {
      const ids = Int32Array.from({ length: IDS }, (_, i) => i * 7919 % vocab);
      return { kind, adds, batches: [{ segments: segments(0, IDS), ids }] };
    }
    case "layer":
      return { kind, adds, batches: [batch(0, CHUNK), batch(CHUNK, 1)] };
    case "head":
      return { kind, adds, batches: [batch(0, HEAD_ROWS)] };
  }
}

/** What a stage of that one block says. */
export async function answer(stage: Stage, { kind, batches }: Probe): Promise<Float32Array[]> {
  const answers: Float32Array[] = [];
  if (kind !== "head") stage.open(0, Math.max(CHUNK + 1, IDS));
  for (const batch of batches) {
    answers.push(
      kind === "head" ? await stage.logits(batch.hidden!) : await stage.forward(batch),
    );
  }
  return answers;
}

/** ‖a - b‖ / ‖b‖ over all outputs, or over what is added to the inputs. NaN where an output is. */
export function relativeError(
  { adds, batches }: Probe,
  a: readonly Float32Array[],
  b: readonly Float32Array[],
): number {
  let difference = 0;
  let reference = 0;
  batches.forEach(({ hidden }, at) => {
    const expected = b[at]!;
    const from = adds ? hidden! : new Float32Array(expected.length);
    for (let i = 0; i < expected.length; i++) {
      difference += (a[at]![i]! - expected[i]!) ** 2;
      reference += (expected[i]! - from[i]!) ** 2;
    }
  });
  return difference === 0 ? 0 : Math.sqrt(difference / reference);
}

/** The relative error up to which a block agrees. */
export function toleranceOf(block: DecoderBlock): number {
  const forms = matricesOf(block).map(({ form }) => form);
  const isHalf = (form: Matrix["form"]) => form.type === "float" && form.dtype !== "f32";
  // A table's rows are read, not multiplied; those of f16 scales come out as f16.
  if (block.kind === "embed") {
    return forms.some((form) => isHalf(form) || (form.type === "nbits" && form.scales === "f16"))
      ? TOLERANCE.half
      : TOLERANCE.float;
  }
  if (forms.some(({ type }) => type === "int8")) return TOLERANCE.int8;
  const isFloat = (form: Matrix["form"]) =>
    form.type === "float" || (form.type === "gguf" && /^(F32|F16|BF16)$/.test(form.gguf));
  if (!forms.every(isFloat)) return TOLERANCE.quantised;
  return forms.some(isHalf) ? TOLERANCE.half : TOLERANCE.float;
}

function matricesOf(block: DecoderBlock): Matrix[] {
  switch (block.kind) {
    case "embed":
      return [block.table];
    case "layer":
      return [...block.qkv, block.output, block.gate, block.up, block.down].map((it) => it.weight);
    case "head":
      return [block.weight.weight];
  }
}

/** Rows with values about a normal distribution's: sums of four of a linear congruential generator's. */
function randomRows(dModel: number, size: number): (rows: number) => Float32Array {
  let state = 1;
  const uniform = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32 - 0.5;
  const value = () => 1.7 * size * (uniform() + uniform() + uniform() + uniform());
  return (rows) => Float32Array.from({ length: rows * dModel }, value);
}

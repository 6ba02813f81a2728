/**
 * Compares the kernels with ONNX Runtime on one block and a small random input: a graph that only looks like
 * a decoder's must not run on them.
 */
import type { Batch, Stage } from "../stage.ts";
import { type DecoderBlock, matricesOf, type Matrix } from "./decoder.ts";

/**
 * Largest error (see {@linkcode relativeError}) that the two ways of computing explain. A wrong graph is off by
 * tenths. The figures below are the largest that were measured, of random weights and of SmolLM2's.
 */
const TOLERANCE = {
  /** The order of additions: 1.2e-6. */
  float: 1e-4,
  /** ONNX Runtime rounds to f16 between the operations of a graph that has weights of f16: 1.9e-3. */
  half: 5e-3,
  /** The kernels' activations are int8 in blocks of 32: 2.0e-2. */
  quantised: 3e-2,
  /** Those of dynamically quantised exports are int8 in ONNX Runtime, too, with one scale for a tensor: 3.3e-2. */
  int8: 5e-2,
} as const;

/** Rows of a layer's input, at most: a chunk, then more of them, which read what the chunk left in the cache. */
const CHUNKS = [7, 5] as const;
/** Rows of a head's input. */
const HEAD_ROWS = 5;
/** Token ids that are looked up. */
const IDS = 16;
/** Size of the input of a layer that ends with a norm: beside large rows, that would hide what is added to them. */
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
  const batch = (position: number, rows: number): Batch => ({
    segments: [{ sample: 0, position, rows }],
    hidden: random(rows),
  });
  switch (kind) {
    case "embed": {
      // One by one, because each of them counts.
      const batches = Array.from({ length: IDS }, (_, position) => ({
        segments: [{ sample: 0, position, rows: 1 }],
        ids: Int32Array.of(position * 7919 % vocab),
      }));
      return { kind, adds, batches };
    }
    case "layer": {
      const positions = block.rope.type === "table" ? block.rope.positions : Infinity;
      const first = Math.min(CHUNKS[0], Math.ceil(positions / 2));
      const rest = Math.min(CHUNKS[1], positions - first);
      const batches = [batch(0, first), ...(rest > 0 ? [batch(first, rest)] : [])];
      return { kind, adds, batches };
    }
    case "head":
      return { kind, adds, batches: [batch(0, HEAD_ROWS)] };
  }
}

/** What a stage of that one block says. */
export async function answer(stage: Stage, { kind, batches }: Probe): Promise<Float32Array[]> {
  const answers: Float32Array[] = [];
  if (kind !== "head") stage.open(0, Math.max(CHUNKS[0] + CHUNKS[1], IDS));
  for (const batch of batches) {
    answers.push(
      kind === "head" ? await stage.logits(batch.hidden!) : await stage.forward(batch),
    );
  }
  return answers;
}

/**
 * How far `a` is from `b`: the worst batch's median row by ‖a - b‖ / ‖b‖, or by that of what is added to the inputs.
 * The median, because a trained layer can answer one of the random rows with an output of a hundred times the
 * others', and then this output's error is that of the row. NaN where an output is.
 */
export function relativeError(
  { adds, batches }: Probe,
  a: readonly Float32Array[],
  b: readonly Float32Array[],
): number {
  const errors = batches.map(({ segments, hidden }, at) => {
    const rows = segments.reduce((sum, each) => sum + each.rows, 0);
    const width = b[at]!.length / rows;
    const from = adds ? hidden! : new Float32Array(b[at]!.length);
    return median(
      Array.from({ length: rows }, (_, row) => {
        const part = (values: Float32Array) => values.subarray(row * width, (row + 1) * width);
        return rowError(part(a[at]!), part(b[at]!), part(from));
      }),
    );
  });
  return Math.max(...errors);
}

/** ‖a - b‖ / ‖b - from‖. */
function rowError(a: Float32Array, b: Float32Array, from: Float32Array): number {
  const difference = b.reduce((sum, value, i) => sum + (a[i]! - value) ** 2, 0);
  const reference = b.reduce((sum, value, i) => sum + (value - from[i]!) ** 2, 0);
  return difference === 0 ? 0 : Math.sqrt(difference / reference);
}

/** The middle of the values, the upper one of two; NaN where one is. */
function median(values: readonly number[]): number {
  if (values.some(Number.isNaN)) return NaN;
  return values.toSorted((x, y) => x - y)[Math.trunc(values.length / 2)]!;
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

/** Rows with values about a normal distribution's: sums of four of a linear congruential generator's. */
function randomRows(dModel: number, size: number): (rows: number) => Float32Array {
  let state = 1;
  const uniform = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32 - 0.5;
  const value = () => 1.7 * size * (uniform() + uniform() + uniform() + uniform());
  return (rows) => Float32Array.from({ length: rows * dModel }, value);
}

/** Decoder blocks with random weights, for tests. */
import { join } from "node:path";
import { BlockData } from "./_block_data.ts";
import { definedWeights, randomMatrix } from "./_random_matrix.ts";
import type { DecoderBlock, DecoderLayer, Linear, Matrix, MatrixForm, Vector } from "./decoder.ts";
import { checkedPlan, writePackedBlock } from "./packed_writer.ts";

/** Forms of the default model. */
export const Q4_1: MatrixForm = { type: "gguf", gguf: "Q4_1" };
/** Forms of the default model. */
export const Q8_0: MatrixForm = { type: "gguf", gguf: "Q8_0" };

/** A made-up block and the values of its weights, by the sources that hold them. */
export class RandomModel {
  /** Where the sources lie. */
  readonly data: BlockData;
  /** What each matrix and vector is worth. */
  readonly values = new Map<unknown, Float32Array>();
  #seed = 1;

  constructor(block: string) {
    this.data = new BlockData(block);
  }

  /** A matrix of random weights. */
  matrix(form: MatrixForm, n: number, k: number): Matrix {
    const random = randomMatrix(form, n, k, this.#seed++);
    const matrix = { ...random.matrix, sources: random.parts.map((part) => this.data.add(part)) };
    this.values.set(matrix, definedWeights(random));
    return matrix;
  }

  /** A vector of values that f16 can hold. */
  vector(length: number, dtype: "f32" | "f16" = "f32"): Vector {
    const values = Float32Array.from({ length }, (_, i) => (i + this.#seed) / 16 % 8);
    this.#seed++;
    const stored = dtype === "f32" ? values : Float16Array.from(values);
    const vector = { length, dtype, source: this.data.add(new Uint8Array(stored.buffer)) };
    this.values.set(vector, values);
    return vector;
  }

  /** A product, its bias of f16. */
  linear(form: MatrixForm, n: number, k: number, bias = false): Linear {
    return { weight: this.matrix(form, n, k), bias: bias ? this.vector(n, "f16") : null };
  }

  /** A layer of width 64. */
  layer(
    qkv: (model: RandomModel) => Linear[] = (it) => [it.linear(Q4_1, 128, 64, true)],
  ): DecoderLayer {
    const norm = (length: number) => ({ weight: this.vector(length), epsilon: 1e-5 });
    return {
      kind: "layer",
      dModel: 64,
      heads: 4,
      kvHeads: 2,
      headDim: 16,
      scale: 0.25,
      window: null,
      rope: {
        type: "table",
        positions: 10,
        half: 8,
        cos: this.vector(80),
        sin: this.vector(80, "f16"),
      },
      inputNorm: norm(64),
      qkv: qkv(this),
      queryNorm: norm(16),
      keyNorm: null,
      output: this.linear(Q8_0, 64, 64),
      postNorm: norm(64),
      gate: this.linear(Q4_1, 96, 64),
      up: this.linear(Q4_1, 96, 64),
      down: this.linear(Q8_0, 64, 96),
      outputNorm: null,
    };
  }
}

/** The packed file of a block of a model. */
export async function packed(
  model: RandomModel,
  block: DecoderBlock,
  embed?: Matrix,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  // deno-lint-ignore require-await -- a ByteWriter
  const write = async (bytes: Uint8Array) => void pieces.push(bytes.slice());
  await writePackedBlock(checkedPlan(block, { embed }), model.data.read, write);
  return new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer());
}

/** Runs a test with a file of the given bytes. */
export async function withFile(
  bytes: Uint8Array,
  fn: (path: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "mdi-packed-" });
  try {
    const path = join(folder, "packed");
    await Deno.writeFile(path, bytes);
    await fn(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Every matrix and vector of a block, by its path. */
export function weights(value: unknown, path = ""): Map<string, unknown> {
  const found = new Map<string, unknown>();
  if (typeof value !== "object" || value === null) return found;
  if ("form" in value || "dtype" in value || "offset" in value) return new Map([[path, value]]);
  for (const [key, child] of Object.entries(value)) {
    for (const each of weights(child, `${path}.${key}`)) found.set(...each);
  }
  return found;
}

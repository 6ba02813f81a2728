/** Lays the weights of a decoder block out for a packed file. Reads nothing. */
import { align } from "../block.ts";
import type { DecoderBlock, DecoderLayer, Linear, Matrix, Norm, Vector } from "./decoder.ts";
import { requireKind } from "./pack.ts";
import type {
  Packed,
  PackedBlock,
  PackedLayer,
  PackedMatrix,
  PackedVector,
} from "./packed_block.ts";
import { packedBytes } from "./packed_layout.ts";

/** A weight and its place in the data section. */
export type PackedPart =
  | { matrix: Matrix; to: PackedMatrix }
  | { vector: Vector; to: PackedVector };

/** A packed file before it is written. */
export interface PackedPlan {
  /** The file's index. */
  index: PackedBlock;
  /** What to write, in the order of the data section. */
  parts: PackedPart[];
  /** Bytes of the data section, a multiple of 64. */
  dataBytes: number;
}

/**
 * Lays a block out.
 * @param embed the table of the model's embed block, if the head may share it.
 * @throws {MdiError} model_unsupported where a matrix cannot be packed.
 */
export function planPackedBlock(
  block: DecoderBlock,
  { embed }: { embed?: Matrix | undefined } = {},
): PackedPlan {
  const layout = new Layout();
  const index = place(layout, block, embed);
  return { index, parts: layout.parts, dataBytes: layout.end };
}

/**
 * Names of the blocks whose data sections hold what a packed file is made of: two packed files are the
 * same where these blocks are.
 * @throws {MdiError} model_unsupported where a matrix cannot be packed.
 */
export function sourceBlocks(block: DecoderBlock): string[] {
  const { parts } = planPackedBlock(block);
  const sources = parts.flatMap((part) =>
    "matrix" in part ? part.matrix.sources : [part.vector.source]
  );
  const names = sources.flatMap((source) => source instanceof Uint8Array ? [] : [source.block]);
  return [...new Set(names)];
}

class Layout {
  readonly parts: PackedPart[] = [];
  end = 0;

  matrix(matrix: Matrix): PackedMatrix {
    const { n, k } = matrix;
    const kind = requireKind(matrix);
    const bytes = packedBytes(kind, n, k);
    const to = { kind, n, k, offset: this.#take(bytes), bytes };
    this.parts.push({ matrix, to });
    return to;
  }

  vector(vector: Vector): PackedVector {
    const to = { length: vector.length, offset: this.#take(4 * vector.length) };
    this.parts.push({ vector, to });
    return to;
  }

  linear({ weight, bias }: Linear): Packed<Linear> {
    return { weight: this.matrix(weight), bias: bias && this.vector(bias) };
  }

  norm({ weight, epsilon }: Norm): Packed<Norm> {
    return { weight: this.vector(weight), epsilon };
  }

  #take(bytes: number): number {
    const offset = this.end;
    this.end = align(offset + bytes);
    return offset;
  }
}

function place(layout: Layout, block: DecoderBlock, embed: Matrix | undefined): PackedBlock {
  switch (block.kind) {
    case "embed":
      return { kind: "embed", table: layout.matrix(block.table) };
    case "layer":
      return placeLayer(layout, block);
    case "head": {
      const norm = block.norm && layout.norm(block.norm);
      const { weight, bias } = block.weight;
      if (!embed || !isSameMatrix(weight, embed)) {
        return { kind: "head", norm, weight: layout.linear(block.weight) };
      }
      const tied = { tied: "embed", n: weight.n, k: weight.k } as const;
      return { kind: "head", norm, weight: { weight: tied, bias: bias && layout.vector(bias) } };
    }
  }
}

function placeLayer(layout: Layout, layer: DecoderLayer): PackedLayer {
  const { kind, dModel, heads, kvHeads, headDim, scale, window } = layer;
  return {
    ...{ kind, dModel, heads, kvHeads, headDim, scale, window },
    half: layer.rope.half,
    inputNorm: layout.norm(layer.inputNorm),
    qkv: layer.qkv.map((linear) => layout.linear(linear)),
    queryNorm: layer.queryNorm && layout.norm(layer.queryNorm),
    keyNorm: layer.keyNorm && layout.norm(layer.keyNorm),
    output: layout.linear(layer.output),
    postNorm: layout.norm(layer.postNorm),
    gate: layout.linear(layer.gate),
    up: layout.linear(layer.up),
    down: layout.linear(layer.down),
    outputNorm: layer.outputNorm && layout.norm(layer.outputNorm),
  };
}

/** Whether two matrices are made of the same bytes of the same blocks in the same way. */
function isSameMatrix(a: Matrix, b: Matrix): boolean {
  return a.n === b.n && a.k === b.k && isSameForm(a.form, b.form) &&
    a.sources.length === b.sources.length && a.sources.every((source, i) => {
      const other = b.sources[i]!;
      return !(source instanceof Uint8Array) && !(other instanceof Uint8Array) &&
        source.block === other.block && source.offset === other.offset &&
        source.length === other.length;
    });
}

function isSameForm(a: Matrix["form"], b: Matrix["form"]): boolean {
  const fields = new Map(Object.entries(b));
  return Object.entries(a).length === fields.size &&
    Object.entries(a).every(([name, value]) => fields.get(name) === value);
}

/** Packed weights into a stage's memory. */
import { GROUP, Q8_F2, Q8_FZ, Q8_H, READS_I8 } from "./abi.ts";
import type { KernelMemory } from "./memory.ts";
import type { Kernels } from "./module.ts";
import type {
  PackedBlock,
  PackedHead,
  PackedLayer,
  PackedMatrix,
  PackedVector,
  TiedMatrix,
} from "./packed_block.ts";
import { groupsOf } from "./packed_layout.ts";
import type { PackedSource } from "./packed_source.ts";
import type { HeadAt, LayerAt, LinearAt, MatrixAt, NormAt } from "./program.ts";

/** Where a stage's weights go. */
export interface WeightTarget {
  memory: KernelMemory;
  kernels: Kernels;
  /** How the host reads 8-bit codes. */
  reading: number;
}

/** Loads one packed block's weights. */
export class WeightLoader {
  #target: WeightTarget;
  #source: PackedSource;

  constructor(target: WeightTarget, source: PackedSource) {
    this.#target = target;
    this.#source = source;
  }

  /** The embedding table. */
  async embed(): Promise<MatrixAt> {
    return await this.#matrix(expectKind(this.#source.block, "embed").table);
  }

  /** A layer. */
  async layer(): Promise<LayerAt> {
    const layer: PackedLayer = expectKind(this.#source.block, "layer");
    const { heads, kvHeads, headDim, half, scale, window } = layer;
    const qkv: LinearAt[] = [];
    for (const each of layer.qkv) qkv.push(await this.#linear(each));
    return {
      ...{ heads, kvHeads, headDim, half, scale, window, qkv },
      inputNorm: await this.#norm(layer.inputNorm),
      queryNorm: layer.queryNorm && await this.#norm(layer.queryNorm),
      keyNorm: layer.keyNorm && await this.#norm(layer.keyNorm),
      output: await this.#linear(layer.output),
      postNorm: await this.#norm(layer.postNorm),
      gate: await this.#linear(layer.gate),
      up: await this.#linear(layer.up),
      down: await this.#linear(layer.down),
      outputNorm: layer.outputNorm && await this.#norm(layer.outputNorm),
    };
  }

  /** The head; `table` loads the embedding table where they are tied. */
  async head(table: () => Promise<MatrixAt>): Promise<HeadAt> {
    const { norm, weight }: PackedHead = expectKind(this.#source.block, "head");
    const matrix: PackedMatrix | TiedMatrix = weight.weight;
    return {
      norm: norm && await this.#norm(norm),
      weight: {
        weight: "tied" in matrix ? await table() : await this.#matrix(matrix),
        bias: weight.bias ? await this.#vector(weight.bias) : 0,
      },
    };
  }

  async #norm(norm: { weight: PackedVector; epsilon: number }): Promise<NormAt> {
    return { address: await this.#vector(norm.weight), epsilon: norm.epsilon };
  }

  async #linear(
    linear: { weight: PackedMatrix; bias: PackedVector | null },
  ): Promise<LinearAt> {
    return {
      weight: await this.#matrix(linear.weight),
      bias: linear.bias ? await this.#vector(linear.bias) : 0,
    };
  }

  async #vector({ length, offset }: PackedVector): Promise<number> {
    const { memory } = this.#target;
    const address = memory.take(4 * GROUP * groupsOf(length)); // biases are read in whole groups
    await this.#source.readInto(offset, memory.bytes(address, 4 * length));
    return address;
  }

  async #matrix({ kind, n, k, offset, bytes }: PackedMatrix): Promise<MatrixAt> {
    const { memory, kernels, reading } = this.#target;
    const address = memory.take(bytes);
    await this.#source.readInto(offset, memory.bytes(address, bytes));
    const hasBytes = kind === Q8_H || kind === Q8_FZ || kind === Q8_F2;
    if (reading === READS_I8 && hasBytes) kernels.flip8(kind, address, groupsOf(n), k);
    return { kind, n, k, address };
  }
}

function expectKind<K extends PackedBlock["kind"]>(
  block: PackedBlock,
  kind: K,
): Extract<PackedBlock, { kind: K }> {
  if (block.kind !== kind) {
    throw new TypeError(`Cannot load a packed ${block.kind} as a ${kind}`);
  }
  return block as Extract<PackedBlock, { kind: K }>;
}

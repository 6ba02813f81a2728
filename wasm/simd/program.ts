/**
 * A stage as a list of operations for the kernels: which operation, over which addresses. Pure: the words of
 * each operation are those that `kernels/ops.ts` reads.
 */
import {
  BF16,
  BLOCK,
  GROUP,
  OP_ATTEND,
  OP_BYTES,
  OP_CACHE,
  OP_EMBED,
  OP_GATE_UP,
  OP_LINEAR,
  OP_MERGE,
  OP_NORM,
  OP_QUANTISE,
} from "./abi.ts";

/** A packed matrix in memory. */
export interface MatrixAt {
  /** Kind of abi.ts. */
  kind: number;
  n: number;
  k: number;
  address: number;
}

/** A product in memory; `bias` is 0 where there is none. */
export interface LinearAt {
  weight: MatrixAt;
  bias: number;
}

/** A norm's weights in memory. */
export interface NormAt {
  address: number;
  epsilon: number;
}

/** A layer whose weights are in memory. */
export interface LayerAt {
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Half of the values of a head that are rotated. */
  half: number;
  scale: number;
  window: number | null;
  inputNorm: NormAt;
  qkv: LinearAt[];
  queryNorm: NormAt | null;
  keyNorm: NormAt | null;
  output: LinearAt;
  postNorm: NormAt;
  gate: LinearAt;
  up: LinearAt;
  down: LinearAt;
  outputNorm: NormAt | null;
}

/** A head whose weights are in memory. */
export interface HeadAt {
  norm: NormAt | null;
  weight: LinearAt;
}

/** The caches' form. */
export interface CacheShape {
  /** KV_F32 … of abi.ts. */
  type: number;
  /** Bytes of keys and values of one head in a page. */
  headBytes: number;
}

/** Rows of a buffer: f32 rows, or quantised ones. */
interface Rows {
  address: number;
  stride: number;
}

/** Buffers between operations, for as many rows as a call may have. */
export interface Buffers {
  /** Hidden rows [rows, d_model]. */
  hidden: Rows;
  /** Normalised rows, as f32 and quantised. */
  normed: Rows;
  normedQ: Rows;
  /** Queries, keys and values. */
  qkv: Rows;
  attended: Rows;
  attendedQ: Rows;
  /** Gate, then up. */
  gateUp: Rows;
  gated: Rows;
  gatedQ: Rows;
}

/** Places buffers for `rows` rows; products may write up to 3 rows more. */
export function placeBuffers(
  take: (bytes: number) => number,
  rows: number,
  dModel: number,
  layers: readonly LayerAt[],
): Buffers {
  const most = (of: (layer: LayerAt) => number) => Math.max(0, ...layers.map(of));
  const place = (stride: number): Rows => ({ address: take((rows + 4) * stride), stride });
  const floats = (n: number) => place(4 * n);
  const heads = most((it) => it.heads * it.headDim);
  const inner = most((it) => it.gate.weight.n);
  // The codes of each block of 32, and 16 bytes beside them.
  const quantised = (n: number) => place(Math.ceil(n / BLOCK) * (BLOCK + 16));
  return {
    hidden: floats(dModel),
    normed: floats(dModel),
    normedQ: quantised(dModel),
    qkv: floats(most((it) => (it.heads + 2 * it.kvHeads) * it.headDim)),
    attended: floats(heads),
    attendedQ: quantised(heads),
    gateUp: floats(2 * inner),
    gated: floats(inner),
    gatedQ: quantised(inner),
  };
}

/** Whether a kind's input is quantised. */
function isQuantised({ weight }: LinearAt): boolean {
  return weight.kind > BF16;
}

/** Writes operations one after another. */
export class ProgramWriter {
  #ops: Int32Array[] = [];

  /** Number of operations. */
  get count(): number {
    return this.#ops.length;
  }

  /** All operations' words. */
  words(): Int32Array {
    const out = new Int32Array(this.#ops.length * OP_BYTES / 4);
    this.#ops.forEach((op, i) => out.set(op, i * OP_BYTES / 4));
    return out;
  }

  /** Rows of the table of the call's ids to hidden rows. */
  embed(table: MatrixAt, out: Rows): void {
    this.#op(OP_EMBED, [table.kind, table.address, table.k, out.address, out.stride]);
  }

  /** A decoder layer. `offset` is where its keys and values lie in a page. */
  layer(layer: LayerAt, buffers: Buffers, cache: CacheShape, offset: number): void {
    const { heads, kvHeads, headDim, half, scale, window, gate, up, down } = layer;
    const { hidden, normed, normedQ, qkv, attended, attendedQ, gateUp, gated, gatedQ } = buffers;
    const k = gate.weight.k;
    this.#normFor(layer.inputNorm, k, hidden, normed, normedQ, layer.qkv);
    this.#linear(layer.qkv, normed, normedQ, qkv, false);
    this.#op(OP_CACHE, [
      ...[qkv.address, qkv.stride, heads, kvHeads, headDim, half, bits(scale)],
      ...[layer.queryNorm?.address ?? 0, layer.keyNorm?.address ?? 0],
      ...[bits(layer.queryNorm?.epsilon ?? 0), offset, cache.type, cache.headBytes],
      bits(layer.keyNorm?.epsilon ?? 0),
    ]);
    this.#op(OP_ATTEND, [
      ...[qkv.address, qkv.stride, heads, kvHeads, headDim, window ?? 0, offset],
      ...[cache.type, cache.headBytes, attended.address, attended.stride],
    ]);
    const outQ = isQuantised(layer.output) ? [attendedQ.address, attendedQ.stride] : [0, 0];
    this.#op(OP_MERGE, [
      ...[0, 0, heads, kvHeads, headDim, window ?? 0, 0, 0, 0],
      ...[attended.address, attended.stride, 0, ...outQ],
    ]);
    this.#linear([layer.output], attended, attendedQ, hidden, true);
    this.#normFor(layer.postNorm, k, hidden, normed, normedQ, [gate, up]);
    this.#op(OP_GATE_UP, [
      ...[normedQ.address, normedQ.stride, normed.address, normed.stride, k],
      ...[gate.weight.kind, gate.weight.address, gate.bias],
      ...[up.weight.kind, up.weight.address, up.bias],
      ...[gate.weight.n / BLOCK, gateUp.address, gateUp.stride],
      ...(isQuantised(down) ? [gatedQ.address, gatedQ.stride, 0, 0] : []),
      ...(isQuantised(down) ? [] : [0, 0, gated.address, gated.stride]),
    ]);
    this.#linear([down], gated, gatedQ, hidden, true);
    const { outputNorm } = layer;
    if (outputNorm) this.#norm(outputNorm, k, hidden, hidden, null);
  }

  /** A head: hidden rows to logits. */
  head({ norm, weight }: HeadAt, { hidden, normed, normedQ }: Buffers, logits: Rows): void {
    const { k } = weight.weight;
    if (norm) {
      this.#normFor(norm, k, hidden, normed, normedQ, [weight]);
    } else if (isQuantised(weight)) {
      this.#op(OP_QUANTISE, [hidden.address, hidden.stride, k, normedQ.address, normedQ.stride]);
    }
    this.#linear([weight], norm ? normed : hidden, normedQ, logits, false);
  }

  /** RMSNorm, in the forms that the consumers want. */
  #normFor(
    norm: NormAt,
    k: number,
    input: Rows,
    out: Rows,
    outQ: Rows,
    consumers: LinearAt[],
  ): void {
    const quantised = consumers.some(isQuantised);
    const plain = consumers.some((it) => !isQuantised(it));
    this.#norm(norm, k, input, plain ? out : null, quantised ? outQ : null);
  }

  /** RMSNorm; `out` may be `input`. */
  #norm(norm: NormAt, k: number, input: Rows, out: Rows | null, outQ: Rows | null): void {
    this.#op(OP_NORM, [
      ...[input.address, input.stride, norm.address, k, bits(norm.epsilon)],
      ...[out?.address ?? 0, out?.stride ?? 0, outQ?.address ?? 0, outQ?.stride ?? 0],
    ]);
  }

  /** Products with the same input, whose outputs lie one after another in a row. */
  #linear(parts: LinearAt[], input: Rows, inputQ: Rows, out: Rows, add: boolean): void {
    let column = 0;
    const words = parts.flatMap(({ weight: { kind, n, address }, bias }) => {
      const part = [kind, address, Math.ceil(n / GROUP), out.address + 4 * column, bias];
      column += n;
      return part;
    });
    const { k } = parts[0]!.weight;
    this.#op(OP_LINEAR, [
      ...[inputQ.address, inputQ.stride, input.address, input.stride, out.stride],
      ...[k, Number(add), parts.length, ...words],
    ]);
  }

  #op(code: number, words: readonly number[]): void {
    const op = new Int32Array(OP_BYTES / 4);
    op[0] = code;
    op.set(words, 1);
    this.#ops.push(op);
  }
}

/** An f32 as the word that holds it. */
function bits(value: number): number {
  return new Int32Array(Float32Array.of(value).buffer)[0]!;
}

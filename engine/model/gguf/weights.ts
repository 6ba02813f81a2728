/** The weights of a Llama-like GGUF file, found by llama.cpp's tensor names and checked for shape. */
import { MdiError } from "../../../wasm/error.ts";
import { rowBytes } from "../../../wasm/gguf/types.ts";
import { rangeData } from "../emit/file_range.ts";
import { readVector } from "../emit/vectors.ts";
import type { DecoderWeights, LayerWeights, Linear, Matrix } from "../emit/weights.ts";
import type { ModelConfig } from "../types.ts";
import { halfRotationRows, interleavedRow } from "./permutation.ts";
import type { GgufTensor } from "./reader.ts";

/** The tensors of one GGUF file. */
export class GgufWeights implements DecoderWeights {
  readonly embed: Matrix;
  readonly #path: string;
  readonly #tensors: ReadonlyMap<string, GgufTensor>;
  readonly #config: ModelConfig;

  /** @throws {MdiError} model_corrupt where a tensor is missing or of another shape. */
  constructor(path: string, tensors: ReadonlyMap<string, GgufTensor>, config: ModelConfig) {
    this.#path = path;
    this.#tensors = tensors;
    this.#config = config;
    this.embed = this.#matrix("token_embd.weight", config.vocab, config.hidden);
  }

  async layer(index: number): Promise<LayerWeights> {
    const { hidden, heads, kvHeads, headDim, intermediate } = this.#config;
    const block = `blk.${index}`;
    const queries = heads * headDim;
    const keys = kvHeads * headDim;
    const rotated = this.#config.architecture === "llama";
    const queryNorm = await this.#optionalVector(`${block}.attn_q_norm.weight`, headDim);
    const keyNorm = await this.#optionalVector(`${block}.attn_k_norm.weight`, headDim);
    return {
      inputNorm: await this.#vector(`${block}.attn_norm.weight`, hidden),
      postAttentionNorm: await this.#vector(`${block}.ffn_norm.weight`, hidden),
      query: await this.#linear(`${block}.attn_q`, queries, hidden, { rotated }),
      key: await this.#linear(`${block}.attn_k`, keys, hidden, { rotated }),
      value: await this.#linear(`${block}.attn_v`, keys, hidden),
      output: await this.#linear(`${block}.attn_output`, hidden, queries),
      gate: await this.#linear(`${block}.ffn_gate`, intermediate, hidden),
      up: await this.#linear(`${block}.ffn_up`, intermediate, hidden),
      down: await this.#linear(`${block}.ffn_down`, hidden, intermediate),
      ...(queryNorm && { queryNorm }),
      ...(keyNorm && { keyNorm }),
    };
  }

  async head(): Promise<{ norm: Float32Array; weight: Matrix | null }> {
    const { hidden, vocab } = this.#config;
    return {
      norm: await this.#vector("output_norm.weight", hidden),
      weight: this.#tensors.has("output.weight")
        ? this.#matrix("output.weight", vocab, hidden)
        : null,
    };
  }

  async #linear(
    name: string,
    n: number,
    k: number,
    options: { rotated?: boolean } = {},
  ): Promise<Linear> {
    const weight = this.#matrix(`${name}.weight`, n, k, options);
    const bias = await this.#optionalVector(`${name}.bias`, n);
    if (!bias) return { weight };
    return { weight, bias: options.rotated ? this.#unrotated(bias) : bias };
  }

  #matrix(name: string, n: number, k: number, options: { rotated?: boolean } = {}): Matrix {
    const { type, offset, bytes } = this.#tensor(name, [k, n]);
    const data = options.rotated
      ? halfRotationRows(this.#path, {
        offset,
        bytes,
        rowBytes: rowBytes(type, k),
        headDim: this.#config.headDim,
      })
      : rangeData(this.#path, offset, bytes);
    return { type, n, k, data };
  }

  #unrotated(bias: Float32Array): Float32Array {
    const { headDim } = this.#config;
    return bias.map((_, row) => {
      const head = row - row % headDim;
      return bias[head + interleavedRow(row - head, headDim)]!;
    });
  }

  async #optionalVector(name: string, length: number): Promise<Float32Array | undefined> {
    return this.#tensors.has(name) ? await this.#vector(name, length) : undefined;
  }

  async #vector(name: string, length: number): Promise<Float32Array> {
    const { type, offset } = this.#tensor(name, [length]);
    return await readVector(this.#path, { type, offset, length });
  }

  #tensor(name: string, dims: number[]): GgufTensor {
    const tensor = this.#tensors.get(name);
    if (!tensor) {
      throw new MdiError(
        "model_corrupt",
        `Cannot use GGUF file ${this.#path}: tensor ${name} is missing`,
        {
          details: { file: this.#path, tensor: name },
        },
      );
    }
    // Trailing dimensions of 1 say nothing.
    const met = tensor.dims.filter((dim, i) => i < dims.length || dim !== 1);
    if (met.length !== dims.length || met.some((dim, i) => dim !== dims[i])) {
      throw new MdiError(
        "model_corrupt",
        `Cannot use GGUF file ${this.#path}: tensor ${name} has the shape [${
          tensor.dims.join(", ")
        }] where its metadata says [${dims.join(", ")}]`,
        { details: { file: this.#path, tensor: name } },
      );
    }
    return tensor;
  }
}

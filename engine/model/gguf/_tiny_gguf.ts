/** For tests: a GGUF model of one layer with rows of 256, in any tensor types. */
import { join } from "node:path";
import { dequantiseRow } from "../../../wasm/gguf/dequantise.ts";
import { GGUF_TYPES, type GgufType, rowBytes } from "../../../wasm/gguf/types.ts";
import { FIXTURES } from "../emit/_fixtures.ts";
import { type TensorToWrite, type TypedValue, writeGguf } from "./_gguf_writer.ts";
import { type GgufValue, readGgufHeader } from "./reader.ts";

const HIDDEN = 256;
const VOCAB = 512;

/** Tensors in [K, N] with the type each gets. */
export type TypeOf = (tensor: string) => GgufType;

/** How a {@linkcode TinyGguf} differs from a plain llama with a tied head. */
export interface TinyOptions {
  /** @default "llama" */
  architecture?: string;
  /** Metadata to add or replace; "$" stands for the architecture. */
  metadata?: Record<string, TypedValue>;
  /** Changes the tensors before they are written. */
  edit?: (tensors: TensorToWrite[]) => TensorToWrite[];
}

/** A model file in a temporary directory. */
export class TinyGguf implements AsyncDisposable {
  private constructor(readonly path: string) {}

  /** Writes a model whose matrices have the types that `typeOf` says, from ggml's own blocks. */
  static async write(typeOf: TypeOf, options: TinyOptions = {}): Promise<TinyGguf> {
    const { architecture = "llama", metadata = {}, edit = (tensors) => tensors } = options;
    const entries = await tinyMetadata(architecture, metadata);
    const bytes = writeGguf(entries, edit(baseTensors(typeOf)));
    const path = join(await Deno.makeTempDir(), "tiny.gguf");
    await Deno.writeFile(path, bytes);
    return new TinyGguf(path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(join(this.path, ".."), { recursive: true });
  }
}

/** The same tensors as f32, dequantised. */
export function asF32(tensors: TensorToWrite[]): TensorToWrite[] {
  return tensors.map(({ name, dims, type, data }) => {
    const [k, n = 1] = dims as [number, number?];
    const values = new Float32Array(k * n);
    const stride = rowBytes(type as GgufType, k);
    for (let r = 0; r < n; r++) dequantiseRow(type as GgufType, data, r * stride, k, values, r * k);
    return { name, dims, type: "F32", data: new Uint8Array(values.buffer) };
  });
}

/** A vector of f32 as a tensor. */
export function vector(name: string, values: Float32Array<ArrayBuffer>): TensorToWrite {
  return { name, dims: [values.length], type: "F32", data: new Uint8Array(values.buffer) };
}

/** The metadata of a {@linkcode TinyGguf}, changed as {@linkcode TinyOptions.metadata} says. */
export async function tinyMetadata(
  architecture: string,
  changes: Record<string, TypedValue>,
): Promise<Record<string, TypedValue>> {
  const entries = Object.entries({ ...await baseMetadata(architecture), ...changes })
    .map(([key, value]) => [key.replace("$", architecture), value]);
  return Object.fromEntries(entries);
}

async function baseMetadata(architecture: string): Promise<Record<string, TypedValue>> {
  const { metadata } = await readGgufHeader(join(FIXTURES, "tiny-llama-tied/gguf/model-q4_0.gguf"));
  const list = (key: string, type: 5 | 8): TypedValue => [
    9,
    type,
    (metadata.get(key) as GgufValue[]).map((value) => [type, value] as TypedValue),
  ];
  return {
    "general.architecture": [8, architecture],
    "$.block_count": [4, 1],
    "$.context_length": [4, 64],
    "$.embedding_length": [4, HIDDEN],
    "$.feed_forward_length": [4, HIDDEN],
    "$.attention.head_count": [4, 4],
    "$.attention.head_count_kv": [4, 2],
    "$.attention.layer_norm_rms_epsilon": [6, 1e-5],
    "tokenizer.ggml.model": [8, "gpt2"],
    "tokenizer.ggml.pre": [8, "llama-bpe"],
    "tokenizer.ggml.tokens": list("tokenizer.ggml.tokens", 8),
    "tokenizer.ggml.token_type": list("tokenizer.ggml.token_type", 5),
    "tokenizer.ggml.merges": list("tokenizer.ggml.merges", 8),
    "tokenizer.ggml.bos_token_id": [4, 506],
    "tokenizer.ggml.eos_token_id": [4, 511],
  };
}

function baseTensors(typeOf: TypeOf): TensorToWrite[] {
  let seed = 1;
  const matrix = (name: string, n: number): TensorToWrite => {
    const type = typeOf(name);
    return { name, dims: [HIDDEN, n], type, data: sampledBlocks(type, n * HIDDEN, seed++) };
  };
  const ones = (name: string) => vector(name, new Float32Array(HIDDEN).fill(1));
  return [
    matrix("token_embd.weight", VOCAB),
    ones("blk.0.attn_norm.weight"),
    matrix("blk.0.attn_q.weight", HIDDEN),
    matrix("blk.0.attn_k.weight", HIDDEN / 2),
    matrix("blk.0.attn_v.weight", HIDDEN / 2),
    matrix("blk.0.attn_output.weight", HIDDEN),
    ones("blk.0.ffn_norm.weight"),
    matrix("blk.0.ffn_gate.weight", HIDDEN),
    matrix("blk.0.ffn_up.weight", HIDDEN),
    matrix("blk.0.ffn_down.weight", HIDDEN),
    ones("output_norm.weight"),
  ];
}

/** Blocks drawn from those that ggml itself quantised (rows 0 and 1 of tests/fixtures/gguf-types). */
function sampledBlocks(type: GgufType, weights: number, seed: number): Uint8Array {
  const pool = Deno.readFileSync(join(FIXTURES, "gguf-types", `${type.toLowerCase()}.bin`));
  const { block, bytes } = GGUF_TYPES[type];
  const choices = 2 * 512 / block;
  const out = new Uint8Array(weights / block * bytes);
  let state = seed;
  for (let at = 0; at < out.length; at += bytes) {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0;
    const choice = Math.floor(state / 2 ** 32 * choices);
    out.set(pool.subarray(choice * bytes, (choice + 1) * bytes), at);
  }
  return out;
}

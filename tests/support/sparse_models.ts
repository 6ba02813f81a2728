/**
 * Models of about 600 MB whose weights are holes in their files: they take no disk, and read as zeros.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { join } from "node:path";
import { type TensorToDescribe, writeGgufHeader } from "../../engine/model/gguf/_gguf_writer.ts";
import { tinyMetadata } from "../../engine/model/gguf/_tiny_gguf.ts";
import {
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
} from "../../wasm/gen/onnx/onnx_pb.ts";
import { FIXTURES } from "./oracle.ts";

/** One layer with an MLP so wide that each of its matrices takes 168 MB in two bytes a weight. */
const HIDDEN = 4096;
const INTERMEDIATE = 20480;
const HEAD_DIM = 64;
const HEADS = HIDDEN / HEAD_DIM;
const VOCAB = 512;
/** Width of the ONNX export's MLPs: 12 matrices of 51 MB. */
const ONNX_INTERMEDIATE = 200_000;

/** Writes a GGUF file of F16 weights into a directory. @returns its path. */
export async function sparseGguf(directory: string): Promise<string> {
  const matrix = (name: string, n: number, k: number): TensorToDescribe => ({
    name,
    dims: [k, n],
    type: "F16",
    bytes: 2 * n * k,
  });
  const vector = (name: string): TensorToDescribe => ({
    name,
    dims: [HIDDEN],
    type: "F32",
    bytes: 4 * HIDDEN,
  });
  const tensors = [
    matrix("token_embd.weight", VOCAB, HIDDEN),
    vector("blk.0.attn_norm.weight"),
    matrix("blk.0.attn_q.weight", HIDDEN, HIDDEN),
    matrix("blk.0.attn_k.weight", HIDDEN, HIDDEN),
    matrix("blk.0.attn_v.weight", HIDDEN, HIDDEN),
    matrix("blk.0.attn_output.weight", HIDDEN, HIDDEN),
    vector("blk.0.ffn_norm.weight"),
    matrix("blk.0.ffn_gate.weight", INTERMEDIATE, HIDDEN),
    matrix("blk.0.ffn_up.weight", INTERMEDIATE, HIDDEN),
    matrix("blk.0.ffn_down.weight", HIDDEN, INTERMEDIATE),
    vector("output_norm.weight"),
  ];
  const metadata = await tinyMetadata("llama", {
    "$.embedding_length": [4, HIDDEN],
    "$.feed_forward_length": [4, INTERMEDIATE],
    "$.attention.head_count": [4, HEADS],
    "$.attention.head_count_kv": [4, HEADS],
  });
  const path = join(directory, "sparse.gguf");
  const weights = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  await writeSparse(path, writeGgufHeader(metadata, tensors), weights);
  return path;
}

/** Writes a safetensors model of BF16 weights into a directory. @returns the directory. */
export async function sparseSafetensors(directory: string): Promise<string> {
  const from = join(FIXTURES, "tiny-llama-tied");
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    await Deno.copyFile(join(from, name), join(directory, name));
  }
  const config = JSON.parse(await Deno.readTextFile(join(from, "config.json")));
  Object.assign(config, {
    num_hidden_layers: 1,
    hidden_size: HIDDEN,
    intermediate_size: INTERMEDIATE,
    num_attention_heads: HEADS,
    num_key_value_heads: HEADS,
    head_dim: HEAD_DIM,
  });
  await Deno.writeTextFile(join(directory, "config.json"), JSON.stringify(config));
  const layer = "model.layers.0";
  const shapes: Record<string, number[]> = {
    "model.embed_tokens.weight": [VOCAB, HIDDEN],
    [`${layer}.input_layernorm.weight`]: [HIDDEN],
    [`${layer}.self_attn.q_proj.weight`]: [HIDDEN, HIDDEN],
    [`${layer}.self_attn.k_proj.weight`]: [HIDDEN, HIDDEN],
    [`${layer}.self_attn.v_proj.weight`]: [HIDDEN, HIDDEN],
    [`${layer}.self_attn.o_proj.weight`]: [HIDDEN, HIDDEN],
    [`${layer}.post_attention_layernorm.weight`]: [HIDDEN],
    [`${layer}.mlp.gate_proj.weight`]: [INTERMEDIATE, HIDDEN],
    [`${layer}.mlp.up_proj.weight`]: [INTERMEDIATE, HIDDEN],
    [`${layer}.mlp.down_proj.weight`]: [HIDDEN, INTERMEDIATE],
    "model.norm.weight": [HIDDEN],
  };
  let end = 0;
  const header = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const start = end;
      end += 2 * shape.reduce((product, dim) => product * dim, 1);
      return [name, { dtype: "BF16", shape, data_offsets: [start, end] }];
    }),
  );
  const json = new TextEncoder().encode(JSON.stringify(header));
  const front = new Uint8Array(8 + json.length);
  new DataView(front.buffer).setBigUint64(0, BigInt(json.length), true);
  front.set(json, 8);
  await writeSparse(join(directory, "model.safetensors"), front, end);
  return directory;
}

/** Writes a builder's fp32 export with external data into a directory. @returns the directory. */
export async function sparseOnnx(directory: string): Promise<string> {
  const from = join(FIXTURES, "tiny-llama-tied");
  for (const name of ["config.json", "tokenizer.json", "tokenizer_config.json"]) {
    await Deno.copyFile(join(from, name), join(directory, name));
  }
  const model = fromBinary(
    ModelProtoSchema,
    await Deno.readFile(join(from, "genai-fp32/model.onnx")),
  );
  const data = await Deno.readFile(join(from, "genai-fp32/model.onnx.data"));
  let end = data.length;
  for (const tensor of model.graph!.initializer) {
    if (!/\.mlp\.\w+_proj\./.test(tensor.name)) continue;
    tensor.dims = tensor.dims.map((dim) => dim === 128n ? BigInt(ONNX_INTERMEDIATE) : dim);
    const length = 4 * Number(tensor.dims.reduce((product, dim) => product * dim, 1n));
    tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
    tensor.rawData = new Uint8Array(0);
    tensor.externalData = Object.entries({ location: "model.onnx.data", offset: end, length })
      .map(([key, value]) => create(StringStringEntryProtoSchema, { key, value: String(value) }));
    end += length;
  }
  await Deno.writeFile(join(directory, "model.onnx"), toBinary(ModelProtoSchema, model));
  await writeSparse(join(directory, "model.onnx.data"), data, end - data.length);
  return directory;
}

async function writeSparse(path: string, front: Uint8Array, hole: number): Promise<void> {
  await Deno.writeFile(path, front);
  await Deno.truncate(path, front.length + hole);
}

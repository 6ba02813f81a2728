/** A decoder small enough to be written by a test, as block files. */
import { join } from "node:path";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { align, BLOCK_HEADER_BYTES, BLOCK_MAGIC, BLOCK_VERSION } from "./block.ts";
import { type ModelProto, ModelProtoSchema, type TensorProtoSchema } from "./gen/onnx/onnx_pb.ts";
import { type GgufType, rowBytes } from "./gguf/types.ts";
import type { BlockFile, StageRange, StageSpec } from "./stage.ts";

/** Sizes of the decoder. */
export const TINY = { layers: 3, dModel: 64, vocab: 96, heads: 4, kvHeads: 2, headDim: 16 };

const FLOAT = 1;
const UINT8 = 2;
const INT32 = 6;
const INT64 = 7;
const FLOAT16 = 10;

type ModelInit = MessageInitShape<typeof ModelProtoSchema>;
type GraphInit = NonNullable<ModelInit["graph"]>;
type NodeInit = NonNullable<GraphInit["node"]>[number];
type ValueInit = NonNullable<GraphInit["input"]>[number];
type TensorInit = MessageInitShape<typeof TensorProtoSchema>;

/** A block in memory. */
export interface TinyBlock {
  name: string;
  model: ModelProto;
  data: Uint8Array;
}

/** Collects a graph and its data section. */
export class Builder {
  readonly nodes: NodeInit[] = [];
  readonly inputs: ValueInit[] = [];
  readonly outputs: ValueInit[] = [];
  readonly tensors: TensorInit[] = [];
  #data: Uint8Array[] = [];
  #bytes = 0;

  node(
    opType: string,
    input: string[],
    output: string[],
    options: {
      domain?: string;
      ints?: Record<string, number>;
      floats?: Record<string, number>;
      type?: string;
    } = {},
  ): void {
    const { domain = "", ints = {}, floats = {}, type } = options;
    const attribute = [
      ...Object.entries(ints).map(([name, i]) => ({ name, type: 2, i: BigInt(i) })),
      ...Object.entries(floats).map(([name, f]) => ({ name, type: 1, f })),
    ];
    this.nodes.push({
      opType,
      domain,
      name: output[0]!,
      input,
      output,
      attribute: type === undefined
        ? attribute
        : [...attribute, { name: "type", type: 3, s: new TextEncoder().encode(type) }],
    });
  }

  input(name: string, elemType: number, dims: (number | string)[]): void {
    this.inputs.push(value(name, elemType, dims));
  }

  output(name: string, elemType: number, dims: (number | string)[]): void {
    this.outputs.push(value(name, elemType, dims));
  }

  inline(name: string, dataType: number, dims: number[], data: ArrayBufferView): void {
    const rawData = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    this.tensors.push({ name, dataType, dims: dims.map(BigInt), rawData });
  }

  weight(name: string, dataType: number, dims: number[], bytes: Uint8Array): void {
    this.borrowed(name, dataType, dims, {
      location: "self",
      offset: this.#bytes,
      length: bytes.length,
    });
    const padded = new Uint8Array(align(bytes.length));
    padded.set(bytes);
    this.#data.push(padded);
    this.#bytes += padded.length;
  }

  borrowed(
    name: string,
    dataType: number,
    dims: number[],
    place: { location: string; offset: number; length: number },
  ): void {
    this.tensors.push({
      name,
      dataType,
      dims: dims.map(BigInt),
      dataLocation: 1,
      externalData: Object.entries(place).map(([key, each]) => ({ key, value: String(each) })),
    });
  }

  build(name: string): TinyBlock {
    const model = create(ModelProtoSchema, {
      irVersion: 10n,
      opsetImport: [{ domain: "", version: 21n }, { domain: "com.microsoft", version: 1n }, {
        domain: "mdi",
        version: 1n,
      }],
      graph: {
        name,
        node: this.nodes,
        input: this.inputs,
        output: this.outputs,
        initializer: this.tensors,
      },
    });
    const data = new Uint8Array(this.#bytes);
    let at = 0;
    for (const part of this.#data) {
      data.set(part, at);
      at += part.length;
    }
    return { name, model, data };
  }
}

function value(name: string, elemType: number, dims: (number | string)[]): ValueInit {
  const dim = dims.map((each) => ({
    value: typeof each === "number"
      ? { case: "dimValue" as const, value: BigInt(each) }
      : { case: "dimParam" as const, value: each },
  }));
  return { name, type: { value: { case: "tensorType", value: { elemType, shape: { dim } } } } };
}

/** Random bytes of a GGUF tensor whose scales are small positive numbers. */
export function ggufBytes(type: GgufType, n: number, k: number, seed: number): Uint8Array {
  const stride = rowBytes(type, k);
  const random = generator(seed);
  const bytes = Uint8Array.from({ length: n * stride }, () => Math.floor(random() * 256));
  const [blockBytes, halves] = { Q4_0: [18, 1], Q4_1: [20, 2], Q8_0: [34, 1] }[type as "Q4_0"]!;
  const view = new DataView(bytes.buffer);
  const scale = type === "Q8_0" ? 0.002 : 0.02;
  for (let at = 0; at < bytes.length; at += blockBytes!) {
    const each = scale * (0.5 + random());
    view.setFloat16(at, each, true);
    if (halves === 2) view.setFloat16(at + 2, -7.5 * each, true);
  }
  return bytes;
}

/** Numbers from 0 to 1, the same for the same seed (Numerical Recipes' generator). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

/** The bytes of the embedding, which the head uses too. */
export const EMBEDDING = ggufBytes("Q8_0", TINY.vocab, TINY.dModel, 1);

/** All blocks of the decoder; its layers' weights have the given type. */
export function tinyBlocks(type: GgufType = "Q4_1"): TinyBlock[] {
  const layers = Array.from({ length: TINY.layers }, (_, i) => layerBlock(i, type));
  return [embedBlock(), ...layers, headBlock()];
}

/** The embedding's block. */
export function embedBlock(): TinyBlock {
  const { vocab, dModel } = TINY;
  const graph = new Builder();
  graph.input("input_ids", INT64, [1, "T"]);
  graph.weight("table", UINT8, [vocab, rowBytes("Q8_0", dModel)], EMBEDDING);
  graph.node("GatherGguf", ["table", "input_ids"], ["hidden_out"], {
    domain: "mdi",
    ints: { K: dModel, N: vocab },
    type: "Q8_0",
  });
  graph.output("hidden_out", FLOAT, [1, "T", dModel]);
  return graph.build("embed");
}

/** The inputs that every layer has. */
export function addLayerInputs(graph: Builder): void {
  const { dModel, kvHeads, headDim } = TINY;
  graph.input("hidden", FLOAT, [1, "T", dModel]);
  graph.input("attention_mask", INT64, [1, "total"]);
  for (const name of ["past.key", "past.value"]) {
    graph.input(name, FLOAT, [1, kvHeads, "P", headDim]);
  }
}

/** The outputs that every layer has. */
export function addLayerOutputs(graph: Builder): void {
  const { dModel, kvHeads, headDim } = TINY;
  graph.output("hidden_out", FLOAT, [1, "T", dModel]);
  for (const name of ["present.key", "present.value"]) {
    graph.output(name, FLOAT, [1, kvHeads, "total", headDim]);
  }
}

/** From the mask: "seqlens", the index of the last position, and "total32", their number. */
export function addSequenceLengths(graph: Builder): void {
  graph.inline("axis", INT64, [1], BigInt64Array.of(1n));
  graph.inline("one", INT64, [], BigInt64Array.of(1n));
  graph.node("ReduceSum", ["attention_mask", "axis"], ["sum"], { ints: { keepdims: 0 } });
  graph.node("Sub", ["sum", "one"], ["less"]);
  graph.node("Cast", ["less"], ["seqlens"], { ints: { to: INT32 } });
  graph.node("Shape", ["attention_mask"], ["shape"]);
  graph.node("Gather", ["shape", "one"], ["total"]);
  graph.node("Cast", ["total"], ["total32"], { ints: { to: INT32 } });
}

/** The product of an input with the embedding's table, as the head's output. */
export function addTiedLogits(graph: Builder, input: string): void {
  const { vocab, dModel } = TINY;
  graph.borrowed("weight", UINT8, [vocab, rowBytes("Q8_0", dModel)], {
    location: "embed",
    offset: 0,
    length: EMBEDDING.length,
  });
  graph.node("MatMulGguf", [input, "weight"], ["logits"], {
    domain: "mdi",
    ints: { K: dModel, N: vocab },
    type: "Q8_0",
  });
  graph.output("logits", FLOAT, [1, "T", vocab]);
}

/** Attention and a residual; enough to depend on the cache, positions and every weight. */
function layerBlock(index: number, type: GgufType): TinyBlock {
  const { dModel, heads, kvHeads, headDim } = TINY;
  const graph = new Builder();
  addLayerInputs(graph);
  const linear = (name: string, x: string, n: number) => {
    const bytes = ggufBytes(type, n, dModel, 100 * index + name.length + n);
    graph.weight(`${name}.weight`, UINT8, [n, rowBytes(type, dModel)], bytes);
    graph.node("MatMulGguf", [x, `${name}.weight`], [name], {
      domain: "mdi",
      ints: { K: dModel, N: n },
      type,
    });
  };
  linear("query", "hidden", heads * headDim);
  linear("key", "hidden", kvHeads * headDim);
  linear("value", "hidden", kvHeads * headDim);
  addSequenceLengths(graph);
  graph.node(
    "GroupQueryAttention",
    ["query", "key", "value", "past.key", "past.value", "seqlens", "total32"],
    ["attended", "present.key", "present.value"],
    { domain: "com.microsoft", ints: { num_heads: heads, kv_num_heads: kvHeads } },
  );
  linear("projected", "attended", dModel);
  graph.node("Add", ["hidden", "projected"], ["hidden_out"]);
  addLayerOutputs(graph);
  return graph.build(`layer.${index}`);
}

function headBlock(): TinyBlock {
  const { dModel } = TINY;
  const graph = new Builder();
  graph.input("hidden", FLOAT, [1, "T", dModel]);
  addTiedLogits(graph, "hidden");
  return graph.build("head");
}

/**
 * A head in half precision as builder exports have it: two FLOAT16 tensors in, FLOAT16 logits out.
 * @param weight f32 [d_model, vocab].
 */
export function halfHeadBlock(weight: Float32Array): TinyBlock {
  const { vocab, dModel } = TINY;
  const graph = new Builder();
  for (const name of ["hidden.0", "hidden.1"]) graph.input(name, FLOAT16, [1, "T", dModel]);
  graph.weight("weight", FLOAT, [dModel, vocab], new Uint8Array(weight.buffer as ArrayBuffer));
  graph.node("Cast", ["hidden.0"], ["residual"], { ints: { to: FLOAT } });
  graph.node("Cast", ["hidden.1"], ["mlp"], { ints: { to: FLOAT } });
  graph.node("Add", ["residual", "mlp"], ["x"]);
  graph.node("MatMul", ["x", "weight"], ["y"]);
  graph.node("Cast", ["y"], ["logits"], { ints: { to: FLOAT16 } });
  graph.output("logits", FLOAT16, [1, "T", vocab]);
  return graph.build("head");
}

/** The bytes of a block file. */
export function blockBytes({ model, data }: TinyBlock): Uint8Array {
  const graph = toBinary(ModelProtoSchema, model);
  const dataOffset = align(BLOCK_HEADER_BYTES + graph.length);
  const bytes = new Uint8Array(dataOffset + data.length);
  bytes.set(BLOCK_MAGIC);
  const view = new DataView(bytes.buffer);
  view.setUint32(8, BLOCK_VERSION, true);
  view.setUint32(12, graph.length, true);
  bytes.set(graph, BLOCK_HEADER_BYTES);
  bytes.set(data, dataOffset);
  return bytes;
}

/** Block files in a directory that goes when this is disposed. */
export class TinyFiles implements AsyncDisposable {
  readonly #directory: string;
  readonly #files: BlockFile[];

  private constructor(directory: string, files: BlockFile[]) {
    this.#directory = directory;
    this.#files = files;
  }

  /** Writes them. */
  static async write(blocks: readonly TinyBlock[] = tinyBlocks()): Promise<TinyFiles> {
    const directory = await Deno.makeTempDir({ prefix: "mdi-tiny-" });
    const files: BlockFile[] = [];
    for (const block of blocks) {
      const path = join(directory, block.name);
      await Deno.writeFile(path, blockBytes(block));
      files.push({ name: block.name, path, hash: null });
    }
    return new TinyFiles(directory, files);
  }

  /** What a stage of these blocks is loaded from; all of them where nothing is said. */
  spec(range: Partial<StageRange> = {}, memoryBytes: number | null = null): StageSpec {
    const { embed = true, layers = [0, TINY.layers - 1], head = true } = range;
    return {
      model: "tiny",
      range: { embed, layers, head },
      blocks: this.#files,
      dModel: TINY.dModel,
      vocab: TINY.vocab,
      memoryBytes,
      threads: 1,
      kv: "f32",
      packed: null,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#directory, { recursive: true });
  }
}

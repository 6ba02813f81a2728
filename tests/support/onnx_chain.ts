/** Runs an ONNX export whole and as a chain of its blocks, for tests that compare the two bit for bit. */
import { toBinary } from "@bufbuild/protobuf";
import { assert, assertEquals } from "@std/assert";
import * as ort from "onnxruntime-web/wasm";
import { planBlock } from "../../engine/model/block_writer.ts";
import type { BlockLayout } from "../../engine/model/block_writer.ts";
import type { ModelSource } from "../../engine/model/types.ts";
import { readBlockHeader, tensorLocation } from "../../wasm/block.ts";
import { type ModelProto, ModelProtoSchema } from "../../wasm/gen/onnx/onnx_pb.ts";
import { joinBlocks } from "../../wasm/ort/join.ts";
import { equalBits } from "./numbers.ts";

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";
// Its first call opens a message port that stays open: outside of any test.
await ort.InferenceSession.create(new Uint8Array(1)).catch(() => {});

/** Tensors by name. */
export type Tensors = Record<string, ort.Tensor>;

/** Something that turns a chunk of token ids into logits and keeps its caches. */
export interface Decoder extends AsyncDisposable {
  /** Logits [rows, vocab] of the chunk; the caches grow by it. */
  step(ids: readonly number[]): Promise<ort.Tensor>;
  /** Empties the caches. */
  reset(): void;
  /** The caches after the last step: key and value of each layer. */
  caches(): ort.Tensor[];
}

/** A block's bytes in memory. */
export interface MemoryBlock {
  name: string;
  model: ModelProto;
  /** The data section. */
  data: Uint8Array;
}

/** Writes all blocks of a source as block files and reads them back. */
export async function blocksOf(source: ModelSource): Promise<MemoryBlock[]> {
  const layouts = new Map<string, BlockLayout>();
  const blocks: MemoryBlock[] = [];
  for await (const recipe of source.blocks()) {
    const plan = planBlock(recipe, layouts);
    layouts.set(recipe.name, plan.layout);
    const bytes = new Uint8Array(plan.bytes);
    let at = 0;
    for await (const chunk of plan.chunks()) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    const header = await readBlockHeader(
      recipe.name,
      (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
    );
    blocks.push({
      name: recipe.name,
      model: header.model,
      data: bytes.subarray(header.dataOffset),
    });
  }
  return blocks;
}

/** A session of the whole file. */
export async function wholeDecoder(source: ModelSource): Promise<Decoder> {
  const [model, ...external] = source.files;
  const session = await ort.InferenceSession.create(await Deno.readFile(model!.path), {
    externalData: await Promise.all(external.map(async ({ path }) => ({
      path: path.split("/").at(-1)!,
      data: await Deno.readFile(path),
    }))),
  });
  const pasts = session.inputNames.filter((name) => name.startsWith("past_key_values."));
  return new SessionChain(source, [
    new Link(session, pasts, pasts.map((name) => name.replace("past_key_values", "present"))),
  ]);
}

/** One session per block, chained in JavaScript: every cut at once. */
export async function chainedDecoder(
  source: ModelSource,
  blocks: readonly MemoryBlock[],
): Promise<Decoder> {
  const links: Link[] = [];
  for (const { name, model, data } of blocks) {
    if (name === "shared") continue;
    const others = blocks.filter((other) => other.name === "shared" || other.name === "embed");
    const session = await ort.InferenceSession.create(toBinary(ModelProtoSchema, model), {
      externalData: externalData(model, name, data, others),
    });
    const cached = session.inputNames.includes("past.key");
    links.push(
      new Link(
        session,
        cached ? ["past.key", "past.value"] : [],
        cached ? ["present.key", "present.value"] : [],
      ),
    );
  }
  return new SessionChain(source, links);
}

/** Two sessions: the blocks before the given layer (0: embed alone), and the others, joined. */
export async function splitDecoder(
  source: ModelSource,
  blocks: readonly MemoryBlock[],
  layer: number,
): Promise<Decoder> {
  const body = blocks.filter((block) => block.name !== "shared");
  const links: Link[] = [];
  for (const part of [body.slice(0, layer + 1), body.slice(layer + 1)]) {
    const model = joinBlocks(part);
    const weights = joinedData(model, blocks);
    const session = await ort.InferenceSession.create(toBinary(ModelProtoSchema, model), {
      externalData: weights,
    });
    const pasts = session.inputNames.filter((name) => name.startsWith("past."));
    links.push(new Link(session, pasts, pasts.map((name) => name.replace("past.", "present."))));
  }
  return new SessionChain(source, links);
}

type ExternalData = { path: string; data: Uint8Array }[];

function externalData(
  model: ModelProto,
  name: string,
  data: Uint8Array,
  others: readonly MemoryBlock[],
): ExternalData {
  const used = new Set(model.graph!.initializer.map((tensor) => tensorLocation(tensor)?.block));
  return [
    { path: "self", data },
    ...others.map((other) => ({ path: other.name, data: other.data })),
  ]
    .filter(({ path }) => used.has(path) && path !== name);
}

/** The joiner names an initializer "block@offset" after its place: each becomes a file of that name. */
function joinedData(model: ModelProto, blocks: readonly MemoryBlock[]): ExternalData {
  const files: ExternalData = [];
  for (const tensor of model.graph!.initializer) {
    if (tensor.externalData.length === 0) continue;
    const [name, offset] = tensor.name.split("@");
    const length = Number(tensor.externalData.find(({ key }) => key === "length")!.value);
    const data = blocks.find((block) => block.name === name)!.data;
    files.push({ path: tensor.name, data: data.subarray(Number(offset), Number(offset) + length) });
    for (const entry of tensor.externalData) {
      if (entry.key === "location") entry.value = tensor.name;
      if (entry.key === "offset") entry.value = "0";
    }
  }
  return files;
}

class Link {
  readonly session: ort.InferenceSession;
  readonly pasts: string[];
  readonly presents: string[];

  constructor(session: ort.InferenceSession, pasts: string[], presents: string[]) {
    this.session = session;
    this.pasts = pasts;
    this.presents = presents;
  }
}

class SessionChain implements Decoder {
  readonly #source: ModelSource;
  readonly #links: Link[];
  #caches: Tensors[] = [];
  #length = 0;

  constructor(source: ModelSource, links: Link[]) {
    this.#source = source;
    this.#links = links;
    this.reset();
  }

  reset(): void {
    const { kvHeads, headDim } = this.#source.config;
    const half = this.#source.kvBytesPerTokenLayer === 4 * kvHeads * headDim;
    const empty = () =>
      half
        ? new ort.Tensor("float16", new Float16Array(0) as unknown as Uint16Array, [
          1,
          kvHeads,
          0,
          headDim,
        ])
        : new ort.Tensor("float32", new Float32Array(0), [1, kvHeads, 0, headDim]);
    this.#length = 0;
    this.#caches = this.#links.map(({ pasts }) =>
      Object.fromEntries(pasts.map((name) => [name, empty()]))
    );
  }

  async step(ids: readonly number[]): Promise<ort.Tensor> {
    const rows = ids.length;
    const total = this.#length + rows;
    const int64 = (values: bigint[]) =>
      new ort.Tensor("int64", BigInt64Array.from(values), [1, values.length]);
    const sides: Tensors = {
      "input_ids": int64(ids.map(BigInt)),
      "attention_mask": int64(Array.from({ length: total }, () => 1n)),
      "position_ids": int64(ids.map((_, row) => BigInt(this.#length + row))),
    };
    let edge: Tensors = {};
    for (const [i, { session, pasts, presents }] of this.#links.entries()) {
      const known: Tensors = { ...sides, ...edge, ...this.#caches[i] };
      const feeds = Object.fromEntries(session.inputNames.map((name) => [name, known[name]!]));
      const out = await session.run(feeds);
      pasts.forEach((name, j) => this.#caches[i]![name] = out[presents[j]!]!);
      edge = {};
      for (const [name, tensor] of Object.entries(out)) {
        edge[name.replace("hidden_out", "hidden")] = tensor;
      }
    }
    this.#length = total;
    return edge["logits"]!;
  }

  caches(): ort.Tensor[] {
    return this.#links.flatMap(({ pasts }, i) => pasts.map((name) => this.#caches[i]![name]!));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { session } of this.#links) await session.release();
  }
}

/** Runs chunks through two decoders from empty caches and demands equal bits of logits and caches. */
export async function assertEqualBits(
  whole: Decoder,
  cut: Decoder,
  chunks: readonly (readonly number[])[],
): Promise<void> {
  const data = (tensor: ort.Tensor) => tensor.data as Float32Array;
  whole.reset();
  cut.reset();
  for (const [i, chunk] of chunks.entries()) {
    const expected = await whole.step(chunk);
    const actual = await cut.step(chunk);
    assertEquals(actual.dims, expected.dims);
    assert(equalBits(data(actual), data(expected)), `Logits of chunk ${i} differ`);
    const caches = cut.caches();
    for (const [j, cache] of whole.caches().entries()) {
      assert(equalBits(data(caches[j]!), data(cache)), `Cache ${j} differs after chunk ${i}`);
    }
  }
}

/** A tensor's elements as numbers. */
export function numbersOf(tensor: ort.Tensor): Float32Array {
  return Float32Array.from(tensor.data as Float32Array);
}

/**
 * The `simd` stage: decoder blocks in mdi's own WebAssembly kernels. Batches run as they come: linear layers
 * over all rows at once, attention row by row, and a row's bits do not depend on its company, on the number of
 * threads, on chunks, cuts or the host (README.md says how).
 */
import { OpenBlocks } from "../block_file.ts";
import { MdiError } from "../error.ts";
import type { KvType, LoadHooks, Stage, StageInfo, StageSpec } from "../stage.ts";
import { wholeMegabytes } from "../whole_megabytes.ts";
import { KV_F16, KV_F32, KV_I8, PAGE } from "./abi.ts";
import type { DecoderBlock, DecoderLayer, Vector } from "./decoder.ts";
import { WeightLoader } from "./load_weights.ts";
import { KernelMemory } from "./memory.ts";
import { compileKernels, instantiateKernels, type KernelBuild } from "./module.ts";
import { blockReader, readRange } from "./pack_from.ts";
import { sourceBlocks } from "./packed_plan.ts";
import { packVector } from "./pack.ts";
import { type BlockToPack, bytesToPack, PackedBlocks } from "./packed_store.ts";
import { ThreadPool } from "./pool.ts";
import type { StartThread } from "./pool_thread.ts";
import type { CacheShape, LayerAt, MatrixAt } from "./program.ts";
import { recogniseBlock, recogniseStage } from "./recognise.ts";
import { frequencyRows, type RopeRows, tableRows } from "./rope_rows.ts";
import { SimdStage } from "./stage_core.ts";
import { judge } from "./verdict.ts";

/** What wasm32 can address, less what buffers and a few caches take. */
const MOST_WEIGHT_BYTES = 2 ** 32 - 200e6;

/** What tests may force, and the comparison with ONNX Runtime; and what a load tells and asks. */
export interface SimdOptions extends LoadHooks {
  /** The kernels' build; by default the best that the host can run. */
  build?: KernelBuild;
  /** How 8-bit codes are read; by default as the host does. */
  reading?: number;
  /** Takes the blocks as they are, without a verdict on them. */
  unjudged?: boolean;
  /** Where its threads are started from; this thread where absent. */
  startThread?: StartThread;
}

/**
 * Loads a stage.
 * @returns the stage, or why it cannot run these blocks: a clause that follows "because".
 * @throws {MdiError} model_corrupt, model_missing, memory, disk
 */
export async function loadSimdStage(
  spec: StageSpec,
  options: SimdOptions = {},
): Promise<Stage | { unusable: string }> {
  using blocks = await OpenBlocks.open(spec.blocks);
  const recognised = recogniseStage(spec.range, (name) => blocks.header(name).model);
  if (recognised.kind === "unrecognised") return { unusable: recognised.reason };
  const misfit = misfitOf(spec, recognised.blocks);
  if (misfit !== null) return { unusable: misfit };
  const compiled = await compileKernels(options.build);
  if (!compiled) return { unusable: "this host has no WebAssembly SIMD" };
  const { module, version } = compiled;
  const wanted = blocksToPack(spec, blocks, recognised.blocks);
  checkMemory(spec, wanted);
  const notes: string[] = [];
  if (spec.packed !== null && !options.unjudged) {
    const load = (single: StageSpec) => loadUnjudged(single, options);
    const withPlace = { ...spec, packed: spec.packed };
    const toJudge = Array.from(
      recognised.blocks,
      ([name, block]) => ({ name, block, model: blocks.header(name).model }),
    );
    const verdicts = await judge(withPlace, toJudge, { version, load });
    if (verdicts.refusal !== null) return { unusable: verdicts.refusal };
    notes.push(...verdicts.notes);
  }
  using packed = await PackedBlocks.open(spec.packed, blocks, wanted, options);
  notes.push(...packed.notes);
  await using owned = new AsyncDisposableStack();
  const memory = new KernelMemory();
  const kernels = instantiateKernels(module, memory.memory);
  const reading = options.reading ?? kernels.probe();
  const target = { memory, kernels, reading };
  let table: Promise<MatrixAt> | undefined;
  const embedTable = () => table ??= new WeightLoader(target, packed.get("embed")).embed();
  const embed = spec.range.embed ? await embedTable() : null;
  const layers: LayerAt[] = [];
  for (const [name, block] of recognised.blocks) {
    if (block.kind === "layer") {
      layers.push(await new WeightLoader(target, packed.get(name)).layer());
    }
  }
  const head = spec.range.head
    ? await new WeightLoader(target, packed.get("head")).head(embedTable)
    : null;
  const layer = [...recognised.blocks.values()].find((it) => it.kind === "layer");
  const rope = layer ? await ropeRows(layer, blocks) : null;
  const weightBytes = memory.end;
  const pool = spec.threads > 1
    ? owned.use(
      await ThreadPool.start(module, memory, kernels, spec.threads, options.startThread),
    )
    : null;
  const cache = cacheShape(spec.kv, layers[0]?.headDim ?? 0);
  const info: StageInfo = {
    backend: "simd",
    backendReason: null,
    threads: spec.threads,
    weightBytes,
    kvBytesPerToken: layers.length * (layers[0]?.kvHeads ?? 0) * cache.headBytes / PAGE,
    kvPageTokens: PAGE,
    kv: spec.kv,
    notes,
  };
  const { dModel, vocab } = spec;
  const parts = { dModel, vocab, embed, layers, head, rope, cache };
  const stage = new SimdStage(info, parts, memory, kernels, pool, reading);
  owned.move();
  return stage;
}

/** Why blocks do not have the sizes that the manifest tells of; null where they have. */
function misfitOf(
  { dModel, vocab }: StageSpec,
  blocks: ReadonlyMap<string, DecoderBlock>,
): string | null {
  for (const [name, block] of blocks) {
    const table = block.kind === "embed"
      ? block.table
      : block.kind === "head"
      ? block.weight.weight
      : null;
    const width = block.kind === "layer" ? block.dModel : table!.k;
    if (width !== dModel) return `${name} has rows of ${width} values and not ${dModel}`;
    if (table && table.n !== vocab) return `${name} has ${table.n} tokens and not ${vocab}`;
  }
  return null;
}

/** A stage whose blocks were recognised before, for its own comparison: what is packed for it is not kept. */
async function loadUnjudged(
  spec: StageSpec,
  { build, reading }: SimdOptions,
): Promise<Stage> {
  const loaded = await loadSimdStage(spec, {
    ...(build && { build }),
    ...(reading !== undefined && { reading }),
    unjudged: true,
    askRoom: () => Promise.resolve("Cannot keep what is not compared yet"),
  });
  if ("unusable" in loaded) throw new MdiError("internal", `Cannot compare: ${loaded.unusable}`);
  return loaded;
}

/** The blocks of the range, and the table that a tied head borrows. */
function blocksToPack(
  spec: StageSpec,
  blocks: OpenBlocks,
  recognised: ReadonlyMap<string, DecoderBlock>,
): BlockToPack[] {
  const hashOf = new Map(spec.blocks.map(({ name, hash }) => [name, hash]));
  const toPack = (name: string, block: DecoderBlock): BlockToPack => {
    const names = [
      name,
      ...sourceBlocks(block).filter((it) => it !== "self" && it !== name).sort(),
    ];
    const hashes = names.map((each) => hashOf.get(each) ?? null);
    return { name, block, hashes: hashes.every((each) => each !== null) ? hashes : null };
  };
  const wanted = [...recognised].map(([name, block]) => toPack(name, block));
  if (recognised.has("head") && !recognised.has("embed") && hashOf.has("embed")) {
    const embed = recogniseBlock("embed", blocks.header("embed").model);
    if (embed.kind === "embed") wanted.unshift(toPack("embed", embed));
  }
  return wanted;
}

function checkMemory(
  { memoryBytes, memoryLimitBytes, model }: StageSpec,
  wanted: readonly BlockToPack[],
): void {
  const bytes = bytesToPack(wanted);
  const weights = `its weights take ${wholeMegabytes(bytes)}`;
  if (bytes > MOST_WEIGHT_BYTES) {
    throw new MdiError(
      "memory",
      `Cannot load ${model}: ${weights}, and WebAssembly ends at 4 GB; give this node fewer layers with --layers`,
      { details: { requiredBytes: bytes, availableBytes: MOST_WEIGHT_BYTES } },
    );
  }
  if (memoryBytes === null || bytes <= memoryBytes) return;
  const left = `${Math.floor(memoryBytes / 1e6)} MB`;
  throw new MdiError(
    "memory",
    memoryLimitBytes === undefined
      ? `Cannot load ${model}: ${weights}, and this node has ${left} for them; give it fewer layers with --layers, or close other programs`
      : `Cannot load ${model}: ${weights}, and the limit of --memory, ${
        wholeMegabytes(memoryLimitBytes)
      }, leaves ${left} for them beside mdi itself; raise it, or give this node fewer layers with --layers`,
    { details: { requiredBytes: bytes, availableBytes: memoryBytes } },
  );
}

function cacheShape(kv: KvType, headDim: number): CacheShape {
  const values = PAGE * headDim;
  switch (kv) {
    case "f32":
      return { type: KV_F32, headBytes: 2 * 4 * values };
    case "f16":
      return { type: KV_F16, headBytes: 2 * 2 * values };
    case "int8":
      return { type: KV_I8, headBytes: 2 * (values + 4 * PAGE) };
  }
}

async function ropeRows({ rope }: DecoderLayer, blocks: OpenBlocks): Promise<RopeRows> {
  const read = blockReader(blocks);
  const vector = async (each: Vector) =>
    packVector(each, await readRange(read, each.source, 0, each.source.length));
  return rope.type === "table"
    ? tableRows(await vector(rope.cos), await vector(rope.sin), rope.half)
    : frequencyRows(await vector(rope.frequencies), rope.scale);
}

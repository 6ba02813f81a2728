/** Measures what this node takes for a model, or finds what it found before. */
import {
  type MeasuredProfile,
  measurementKvBytes,
  measureStages,
} from "../../wasm/measure_stage.ts";
import type { Pace } from "../../wasm/pace.ts";
import type { StageProfile } from "../../wasm/profile.ts";
import { simdLevel } from "../../wasm/simd/level.ts";
import type { Backend, KvType, Stage, StageInfo, StageRange } from "../../wasm/stage.ts";
import { nodeBytes, residentBytes } from "../../wasm/stage_memory.ts";
import { cpuName, deviceState, isThrottled } from "../device/facts.ts";
import { collectGarbage, freeMemory } from "../device/memory.ts";
import { loadStoredStage } from "../load_stored_stage.ts";
import type { BlockEntry, Manifest } from "../model/types.ts";
import type { Store } from "../store/store.ts";
import { blocksToProfile } from "./profile_blocks.ts";
import { keepProfile, type ProfileKey, readKeptProfile } from "./profile_cache.ts";

/** What is measured, and how. */
export interface ProfileOptions {
  manifest: Manifest;
  /** The model's name as messages are to say it. */
  model: string;
  /** Whether embed and head are measured too. */
  starter: boolean;
  store: Store;
  /** Of mdi. */
  version: string;
  backend: Backend;
  threads: number;
  kv: KvType;
  /** Bytes that the process may use; null for what is free. */
  memoryBytes: number | null;
  /** Takes no notice of what was kept. */
  again?: boolean;
  /** Stands for a slower device, whose times are taken as they are. */
  pace?: Pace | undefined;
  /** Called before anything is loaded: brings the blocks of `blocksOfProfile()` into the store, and pins them. */
  fetch?: () => Promise<void>;
  /** How long the measurement may take beside loading, in ms. */
  budgetMs?: number;
  signal?: AbortSignal | undefined;
  /** Told what goes on: "pack" in bytes, "measure" in ms. */
  onProgress?: ((what: string, done: number, total: number) => void) | undefined;
}

/** A node's profile. */
export interface NodeProfile {
  profile: StageProfile;
  /** Whether it was measured at an earlier time. */
  kept: boolean;
  /** Whether the device was held back by heat or its supply meanwhile, as far as it tells. */
  throttled: boolean;
  /** Whether other programs or a quota had the processor for much of the time: times are of that part, and soon forgotten. */
  busy: boolean;
}

/** Weights of the copies together: more than any cache holds. */
const WEIGHT_BYTES = 64 * 2 ** 20;
/** Rows of a frame that there should be memory for, in the copies' caches. */
const MEASURED_ROWS = 8;
/** Part of the free memory that a measurement may take. */
const MEMORY_SHARE = 0.8;

/**
 * Gives a node's profile; nothing of the node's memory stays taken.
 * @throws {MdiError} what is wrong with the blocks, or that there is too little memory for a single layer.
 */
export async function profileNode(options: ProfileOptions): Promise<NodeProfile> {
  const { store, again = false, pace, signal } = options;
  signal?.throwIfAborted();
  const key = await keyOf(options);
  if (!again && !pace) {
    const found = await readKeptProfile(store.layout, key);
    if (found) return { ...found, kept: true, throttled: false };
  }
  await options.fetch?.();
  const before = await deviceState();
  const { profile, busy } = await measure(options);
  collectGarbage(); // the copies, before anybody asks what is free
  const throttled = isThrottled(before) || isThrottled(await deviceState());
  if (!throttled && !pace) await keepProfile(store.layout, key, profile, busy);
  return { profile, kept: false, throttled, busy };
}

async function keyOf(
  { manifest, starter, version, backend, threads, kv }: ProfileOptions,
): Promise<ProfileKey> {
  const { layers, ends } = blocksToProfile(manifest, starter);
  const { state } = await Deno.permissions.query({ name: "sys", kind: "hostname" });
  return {
    version,
    kernels: backend === "ort" ? null : (await simdLevel())?.version ?? null,
    backend,
    threads,
    kv,
    dModel: manifest.config.hidden,
    architecture: manifest.config.architecture,
    blocks: [...layers.map(({ hash }) => hash), ...ends.map(({ hash }) => hash)],
    arch: Deno.build.arch,
    cores: navigator.hardwareConcurrency,
    cpu: await cpuName(),
    hostname: state === "granted" ? Deno.hostname() : null,
  };
}

async function measure(options: ProfileOptions): Promise<MeasuredProfile> {
  const { manifest, starter, backend, threads, pace, memoryBytes, budgetMs, signal } = options;
  const blocks = blocksToProfile(manifest, starter);
  const { info } = await tryLayer(options, blocks.layers, blocks.layer);
  if (pace) return { profile: pacedProfile(pace, info, { starter, threads }), busy: false };
  const free = freeMemory(memoryBytes);
  // What one copy came to is what the others do: "auto" may have come to either.
  const taken = info.backend === "ort" ? "ort" : "simd";
  const endBytes = blocks.ends.reduce((sum, block) => sum + residentBytes(block, taken), 0);
  const room = MEMORY_SHARE * free - nodeBytes(taken) - endBytes;
  const copies = Math.max(
    1,
    Math.min(
      Math.ceil(WEIGHT_BYTES / info.weightBytes),
      manifest.config.layers,
      Math.floor(room / (info.weightBytes + measurementKvBytes(info, MEASURED_ROWS))),
    ),
  );
  await using owned = new AsyncDisposableStack();
  const range: StageRange = { embed: false, layers: [0, copies - 1], head: false };
  const entries = copiesOf(blocks.layers, blocks.layer, copies);
  const wanted = [load(options, range, entries, backend, threads)];
  const ofEnds: StageRange = { embed: true, layers: null, head: true };
  if (starter) wanted.push(load(options, ofEnds, blocks.ends, backend, threads));
  const loaded = await Promise.allSettled(wanted);
  for (const each of loaded) if (each.status === "fulfilled") owned.use(each.value);
  // Throws what the first that failed says; the others are disposed of.
  const [layers, ends = null] = await Promise.all(wanted);
  const { hidden: dModel, vocab, context } = manifest.config;
  const stages = { layers: layers!, copies, ends, dModel, vocab, context };
  return await measureStages(stages, {
    ...(budgetMs !== undefined && { budgetMs }),
    kvBytes: Math.max(0, room - copies * info.weightBytes),
    signal,
    onProgress: (done, total) => options.onProgress?.("measure", done, total),
  });
}

/** Loads one copy, which packs it and compares it where that was never done, for what is told of it. */
async function tryLayer(
  options: ProfileOptions,
  blocks: readonly BlockEntry[],
  layer: BlockEntry,
): Promise<Pick<Stage, "info">> {
  const range: StageRange = { embed: false, layers: [0, 0], head: false };
  await using stage = await load(options, range, copiesOf(blocks, layer, 1), options.backend, 1);
  return { info: stage.info };
}

/** The blocks with a layer's entry under as many names as there are to be copies. */
function copiesOf(
  blocks: readonly BlockEntry[],
  layer: BlockEntry,
  copies: number,
): BlockEntry[] {
  return blocks.flatMap((block) =>
    block.name === layer.name
      ? Array.from({ length: copies }, (_, i) => ({ ...block, name: `layer.${i}` }))
      : [block]
  );
}

function load(
  { manifest, model, store, kv, memoryBytes, signal, onProgress }: ProfileOptions,
  range: StageRange,
  blocks: readonly BlockEntry[],
  backend: Backend,
  threads: number,
): Promise<Stage> {
  return loadStoredStage({
    ...{ manifest, model, range, blocks, store, backend, threads, kv, memoryBytes, signal },
    onPack: (done, total) => onProgress?.("pack", done, total),
  });
}

/** What a device that only stands for another one says of itself. */
function pacedProfile(
  { layer, embed, head }: Pace,
  info: StageInfo,
  { starter, threads }: Pick<ProfileOptions, "starter" | "threads">,
): StageProfile {
  const nothing = { rows: [1], ms: [0] };
  return {
    backend: info.backend,
    threads: info.backend === "ort" ? 1 : threads,
    processors: threads + 1, // which wait for most of the time
    layer,
    layerCachedMs: 0,
    prefillLayer: layer,
    embed: starter ? embed ?? nothing : null,
    head: starter ? head ?? nothing : null,
    callMs: 0,
    layerWeightBytes: info.weightBytes,
    kvBytesPerTokenLayer: info.kvBytesPerToken,
    measuredMs: 0,
  };
}

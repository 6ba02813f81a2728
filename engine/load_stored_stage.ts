/** A stage of blocks that are in the store. */
import type { Pace } from "../wasm/pace.ts";
import type { Backend, KvType, Stage, StageRange, StageSpec } from "../wasm/stage.ts";
import { loadWorkerStage } from "../wasm/worker_stage.ts";
import { freeMemory } from "./device/memory.ts";
import type { BlockEntry, Manifest } from "./model/types.ts";
import type { Store } from "./store/store.ts";

/** What is loaded, and how. */
export interface StoredStageOptions {
  manifest: Manifest;
  /** The model's name as messages are to say it. */
  model: string;
  range: StageRange;
  /** Exactly those that the range needs, in the model's order. */
  blocks: readonly BlockEntry[];
  store: Store;
  backend: Backend;
  threads: number;
  kv: KvType;
  /** Bytes that the process may use; null for what is free. */
  memoryBytes: number | null;
  /** The slower device that the stage stands for; null where absent, for none. */
  pace?: Pace | null;
  /** Ends the load. */
  signal?: AbortSignal | undefined;
  /** Told how many bytes of weights are packed. */
  onPack?: (done: number, total: number) => void;
}

/**
 * Loads a stage in a worker of its own; what it packs goes into the store as far as there is room.
 * @throws {MdiError} what the backend says of the blocks, or internal where the worker dies.
 */
export function loadStoredStage(options: StoredStageOptions): Promise<Stage> {
  const { manifest, model, range, blocks, store, backend, threads, kv } = options;
  const { memoryBytes, pace = null, signal, onPack } = options;
  return loadWorkerStage(backend, {
    model,
    range,
    blocks: blocks.map(({ name, hash }) => ({ name, path: store.path(hash), hash })),
    dModel: manifest.config.hidden,
    vocab: manifest.config.vocab,
    ...memoryLeft(memoryBytes),
    threads,
    kv,
    packed: store.layout.packed,
  }, {
    pace,
    ...(signal && { signal }),
    ...(onPack && { onPack }),
    askRoom: (bytes) => store.packedRoom(bytes, model),
  });
}

function memoryLeft(
  limitBytes: number | null,
): Pick<StageSpec, "memoryBytes" | "memoryLimitBytes"> {
  const memoryBytes = freeMemory(limitBytes);
  const limits = limitBytes !== null && memoryBytes < freeMemory(null);
  return { memoryBytes, ...(limits && { memoryLimitBytes: limitBytes }) };
}

/** The starter's own part of the model. */
import type { KvType, Stage } from "../wasm/stage.ts";
import { loadStoredStage } from "../engine/load_stored_stage.ts";
import type { Manifest } from "../engine/model/types.ts";
import type { Plan } from "../engine/plan/plan.ts";
import type { Store } from "../engine/store/store.ts";
import { blocksFor } from "./configuration.ts";
import type { ResolvedNode } from "./ring_options.ts";

/** What the starter's stage is loaded with. */
export interface OwnStageOptions {
  node: ResolvedNode;
  store: Store;
  kv: KvType;
  signal: AbortSignal;
}

/** Loads embed, the first layers of the plan, and head. */
export function loadOwnStage(
  manifest: Manifest,
  plan: Plan,
  { node, store, kv, signal }: OwnStageOptions,
): Promise<Stage> {
  const { layers } = plan.nodes[0]!;
  node.onEvent({ type: "load", message: "loading", done: 0, total: 0 });
  return loadStoredStage({
    ...{ manifest, store, kv, signal },
    model: manifest.name,
    range: { embed: true, layers, head: true },
    blocks: blocksFor(manifest, layers, ["embed", "head"]),
    backend: node.backend,
    threads: node.threads,
    memoryBytes: node.memoryBytes,
    pace: node.pace,
    onPack: (done, total) =>
      node.onEvent({ type: "load", message: "packing weights", done, total }),
  }).then((stage) => {
    for (const message of stage.info.notes) {
      node.onEvent({ type: "note", node: node.name, message });
    }
    return stage;
  });
}

/**
 * Waits for the stage and for the peers. Where the stage fails, nobody waits for the peers, whose stays end with
 * their connections; where the peers fail, the stage is freed.
 */
export async function bothOrNeither(
  loading: Promise<Stage>,
  peers: Promise<void> | undefined,
): Promise<Stage> {
  peers?.catch(() => {});
  const stage = await loading;
  try {
    await peers;
    return stage;
  } catch (error) {
    await stage[Symbol.asyncDispose]();
    throw error;
  }
}

/** What a ring's options come to once its model and its peers are known. */
import { nodeBytes, residentBytes } from "../wasm/stage_memory.ts";
import type { Backend } from "../wasm/stage.ts";
import { freeMemory } from "../engine/device/memory.ts";
import { MAX_FRAME_ROWS } from "../engine/ring/message.ts";
import type { Manifest } from "../engine/model/types.ts";
import { parseLayers } from "../engine/plan/parse_layers.ts";
import { layersText, type Plan, planFromCounts } from "../engine/plan/plan.ts";
import { splitLayers } from "../engine/plan/split.ts";
import { backendOf, plannedThreads } from "./device.ts";
import { blocksFor } from "./configuration.ts";
import type { Peer } from "./peer.ts";
import type { ResolvedNode } from "./ring_options.ts";

/** Samples in flight for each node, where nobody says how many. */
const SLOTS_PER_NODE = 4;

/**
 * The positions that a prompt and its answer may have.
 * @throws {RangeError} where the model has not as many.
 */
export function contextOf(wanted: number | undefined, manifest: Manifest): number {
  const most = manifest.config.context;
  if (wanted === undefined) return most;
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > most) {
    throw new RangeError(
      `Cannot use a context of ${wanted}: ${manifest.name} takes 1 to ${most} positions`,
    );
  }
  return wanted;
}

/**
 * Refuses a form of the hidden states that the model's own cannot take.
 * @throws {RangeError}
 */
export function requireWire(wire: "f32" | "f16", manifest: Manifest): void {
  if (wire === "f32" || !manifest.edges.includes("f16x2")) return;
  throw new RangeError(
    `Cannot use the wire format "f16" with ${manifest.name}: its rows are pairs of f16 values already; leave --wire out`,
  );
}

/**
 * The samples in the ring at once.
 * @throws {RangeError} where a frame could not hold a row of each.
 */
export function slotsOf(wanted: number | undefined, nodes: number): number {
  const slots = wanted ?? SLOTS_PER_NODE * nodes;
  if (Number.isInteger(slots) && slots >= 1 && slots <= MAX_FRAME_ROWS) return slots;
  throw new RangeError(
    `Cannot use ${slots} slots: give a whole number from 1 to ${MAX_FRAME_ROWS}`,
  );
}

/**
 * Which node holds which layers: as given, else by backend, threads and free memory.
 * @throws {RangeError} where the counts do not fit the model or the nodes.
 * @throws {MdiError} memory where the nodes together cannot hold it.
 */
export function planLayers(
  layers: string | readonly number[] | undefined,
  manifest: Manifest,
  node: Pick<ResolvedNode, "name" | "backend" | "threads" | "memoryBytes">,
  peers: readonly Pick<Peer, "name" | "device">[],
): Plan {
  const names = [node.name, ...peers.map((peer) => peer.name)];
  const { layers: count } = manifest.config;
  if (layers !== undefined) {
    return parseLayers(typeof layers === "string" ? layers : layers.join(","), names, count);
  }
  if (peers.length === 0) return planFromCounts(names, [count]);
  const layerBlocks = manifest.blocks.filter(({ name }) => name.startsWith("layer."));
  // A tied head has its weights in another block.
  const head = blocksFor(manifest, null, ["head"]).filter(({ name }) => name !== "shared");
  const layerBytes = (backend: Backend) =>
    Math.max(1, ...layerBlocks.map((block) => residentBytes(block, backend)));
  const embed = manifest.blocks.find((block) => block.name === "embed")!.bytes;
  return splitLayers({
    layers: count,
    // An embedding is a look-up: it takes memory and next to no time.
    embedBytes: 0,
    headBytes: head.reduce((sum, block) => sum + residentBytes(block, node.backend), 0),
    nodes: [
      {
        name: node.name,
        cores: plannedThreads(node),
        memoryFreeBytes: Math.max(0, freeMemory(node.memoryBytes) - embed),
        layerBytes: layerBytes(node.backend),
        nodeBytes: nodeBytes(node.backend),
      },
      ...peers.map(({ name, device }) => ({
        name,
        cores: device.threads || 1,
        memoryFreeBytes: Number(device.memoryFreeBytes),
        layerBytes: layerBytes(backendOf(device)),
        nodeBytes: nodeBytes(backendOf(device)),
      })),
    ],
  });
}

/**
 * The samples that a plan is made for.
 * @throws {RangeError} where that is no number of samples.
 */
export function samplesOf(expected: number | undefined, slots: number): number {
  if (expected === undefined) return slots;
  if (Number.isInteger(expected) && expected >= 1) return Math.min(expected, slots);
  throw new RangeError(`Cannot plan for ${expected} samples: give a whole number of at least 1`);
}

/**
 * One line that says the plan.
 * @param predicted what it is to give with how many samples under way, where it was measured for.
 */
export function planText(
  plan: Plan,
  predicted?: { tokensPerSecond: number; samples: number },
): string {
  const nodes = plan.nodes.map(({ name, layers }) => `${name}: ${layersText(layers)}`).join(", ");
  if (!predicted) return nodes;
  const { tokensPerSecond, samples } = predicted;
  return `${nodes}; predicted: ${tokensPerSecond.toFixed(1)} tokens/s with ${samples} sample${
    samples === 1 ? "" : "s"
  } under way`;
}

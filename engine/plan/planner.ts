/**
 * The planner: from devices, links and a model to the ring that gives the most tokens a second, or the next token
 * soonest. A pure function; equal problems get equal plans.
 */
import { MdiError } from "../../wasm/error.ts";
import { wholeMegabytes } from "../../wasm/whole_megabytes.ts";
import { MAX_RING_NODES } from "../ring/message.ts";
import { independentReplicas, oneNodeAlone, type Replicas, type SingleNode } from "./alone.ts";
import { type RingCost, ringCost, rowChoices, shareFrames } from "./cost.ts";
import { balancedCounts, fastestCounts, type StageLimits } from "./counts.ts";
import { type Plan, planFromCounts } from "./plan.ts";
import {
  bytesBesideLayers,
  bytesPerLayer,
  type PlanProblem,
  requireProblem,
  roomFor,
  samplesInFlight,
} from "./problem.ts";
import { type RingSet, RowSearch } from "./search.ts";
import { ringSets } from "./subsets.ts";

/** Times per token that differ by no more are equal. */
const EQUAL = 1 + 1e-9;

/** The best ring, and what else there is. */
export interface PlannedRing {
  /** The ring's nodes with their layers, in its order. */
  readonly plan: Plan;
  /** Indexes of the problem's nodes, in the ring's order. */
  readonly order: readonly number[];
  /** Layers of each, in that order. */
  readonly counts: readonly number[];
  /** Decode frames in the ring at once. */
  readonly decodeFrames: number;
  /** Rows of the longest of them. */
  readonly rowsPerFrame: number;
  /** What it is predicted to give. */
  readonly cost: RingCost;
  /** Indexes of the problem's nodes that are faster left out. */
  readonly leftOut: readonly number[];
  /** Most tokens a second of a ring of exactly 1, 2, … nodes; null where they cannot hold the model. */
  readonly byNodes: readonly (number | null)[];
  /** The fastest device that holds all by itself. */
  readonly singleNode: SingleNode | null;
  /** Each device that holds all by itself with a model of its own. */
  readonly replicas: Replicas | null;
  /** Most tokens a second of a ring that contains a node; null where there is none. */
  withNode(node: number): number | null;
}

/**
 * Plans a ring: which nodes, in which order, with how many layers and rows a frame. The starter may hold no layers; every
 * other node of the ring holds at least one.
 *
 * Exact up to 10 nodes; beyond, see {@linkcode ringSets} and `heuristicTours` for what is tried. Of plans that are
 * equally fast it takes that with the fewest nodes, then the fewest rows a frame, then the nodes and the order nearest
 * to the given ones, then the split of {@linkcode balancedCounts}, as far as the time of a lap allows.
 *
 * @throws {RangeError} where a field of the problem is no such number.
 * @throws {MdiError} memory where the nodes together cannot hold the model and the samples' caches.
 */
export function planRing(problem: PlanProblem): PlannedRing {
  requireProblem(problem);
  const { nodes, model } = problem;
  const room = nodes.map((_, node) => roomFor(problem, node, node === 0));
  const searches = rowsOf(problem).map((rows) => new RowSearch(problem, room, rows));
  const alone = searches.map(({ rows }) => new RowSearch(withoutMessages(problem), room, rows));
  const ringsWith = (node: number): FoundRings[][] =>
    ringSets(searches, room, node).map((sets, i) =>
      (i === 0 ? alone : searches).map((search) => {
        const rings = sets.map((nodes) => search.ringSet(nodes));
        return { search, rings, perTokenMs: search.leastMs(rings) };
      })
    );
  const leastMs = (found: readonly FoundRings[]) =>
    Math.min(...found.map(({ perTokenMs }) => perTokenMs));
  const found = ringsWith(0);
  const bySize = nodes.map((_, i) => leastMs(found[i] ?? []));
  const least = Math.min(...bySize) * EQUAL;
  if (least === Infinity) throw tooBig(problem, room);
  const size = bySize.findIndex((ms) => ms <= least);
  const { search, rings } = found[size]!.find(({ perTokenMs }) => perTokenMs <= least)!;
  const { order, counts } = chosen(search, rings, least, model.layers);
  return {
    plan: planFromCounts(order.map((node) => nodes[node]!.name), counts),
    order,
    counts,
    decodeFrames: shareFrames(samplesInFlight(problem), search.rows).frames,
    rowsPerFrame: search.rows,
    cost: ringCost(problem, order, counts, search.rows),
    leftOut: nodes.flatMap((_, node) => order.includes(node) ? [] : [node]),
    byNodes: bySize.map(tokensPerSecond),
    singleNode: oneNodeAlone(problem),
    replicas: independentReplicas(problem),
    withNode: (node) => tokensPerSecond(leastMs(ringsWith(node).flat())),
  };
}

/** Rings of one size and one number of rows. */
interface FoundRings {
  search: RowSearch;
  rings: readonly RingSet[];
  /** The least that one of them takes. */
  perTokenMs: number;
}

/** As for a ring of one. */
function withoutMessages(problem: PlanProblem): PlanProblem {
  return { ...problem, nodes: problem.nodes.map((node) => ({ ...node, frameMs: 0 })) };
}

/** Rows a frame that are worth a look: with one point a device gains nothing from more than one. */
function rowsOf(problem: PlanProblem): number[] {
  const gains = problem.nodes.some(({ layer, embed, head, frameMs = 0 }) =>
    frameMs > 0 || [layer, embed, head].some(({ rows }) => rows.length > 1)
  );
  return gains ? rowChoices(samplesInFlight(problem)) : [1];
}

/** The first ring that takes no longer than it has to, with its layers. */
function chosen(
  search: RowSearch,
  sets: readonly RingSet[],
  perTokenMs: number,
  layers: number,
): { order: number[]; counts: number[] } {
  const { order, stagesMs } = search.ringFor(sets, perTokenMs);
  const most = search.mostBelow(perTokenMs);
  const counts: number[] = [];
  const limits: StageLimits = { ...search.token, most };
  balancedCounts(limits, order, layers, counts);
  const { layerMs, besideMs } = search.frame;
  const ms = order.reduce(
    (ms, node) => ms + counts[node]! * layerMs[node]! + besideMs[node]!,
    0,
  );
  // With few samples a lap's time is what counts, and fast nodes take more than their share.
  if (ms > stagesMs * EQUAL) {
    fastestCounts({ layerMs, besideMs, most }, search.ringSet(order).bySpeed, layers, counts);
  }
  return { order, counts: order.map((node) => counts[node]!) };
}

function tokensPerSecond(perTokenMs: number): number | null {
  return perTokenMs === Infinity ? null : 1000 / perTokenMs;
}

/** Says what is missing where. */
function tooBig(problem: PlanProblem, room: readonly number[]): MdiError {
  const { model, nodes, samples, context } = problem;
  const { layers } = model;
  const short: string[] = [];
  const starter = nodes[0]!;
  const missing = bytesBesideLayers(problem, true) - starter.memoryBytes;
  if (missing > 0) {
    short.push(`${starter.name} lacks ${wholeMegabytes(missing)} for embed and head`);
  }
  const held = room.map((count) => Math.max(0, count));
  const largest = held.slice(1).sort((a, b) => b - a).slice(0, MAX_RING_NODES - 1);
  const total = largest.reduce((a, b) => a + b, held[0]!);
  const missingBytes = Math.max(0, layers - total) * bytesPerLayer(problem);
  if (missingBytes > 0) {
    const each = nodes.map(({ name }, node) => `${name} ${held[node]}`).join(", ");
    const most = nodes.length > MAX_RING_NODES ? ` on ${MAX_RING_NODES} nodes at most` : "";
    short.push(
      `${layers} layers with caches for ${samples} × ${context} tokens take ${
        wholeMegabytes(layers * bytesPerLayer(problem))
      } and there is room for ${total}${most} (${each}), so ${
        wholeMegabytes(missingBytes)
      } are missing`,
    );
  }
  return new MdiError(
    "memory",
    `Cannot place the model: ${
      short.join("; ")
    }; free memory, add a node, or take fewer samples or a smaller context`,
    { details: { layers, room: total, missingBytes } },
  );
}

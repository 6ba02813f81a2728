/**
 * The least time per token over subsets, orders and splits, for one number of rows a frame.
 *
 * The time per token is max(M, D/S): M the greatest occupancy, D a lap's time, S the samples. Where occupancies are
 * bounded by M, each node takes so many layers at most, links that are busier are not taken, and the least D is the
 * fastest nodes' fill plus the shortest way round: neither depends on the other. It does not rise with M, so
 * a binary search over all values that M can have finds where the two cross.
 */
import { fastestCounts, type StageLimits } from "./counts.ts";
import { linkLatencyMs, messagesPerToken, shareFrames, timePerToken, transferMs } from "./cost.ts";
import { exactTours, heuristicTours, type Tours } from "./orders.ts";
import { type PlanProblem, samplesInFlight } from "./problem.ts";
import { timeOf } from "../../wasm/row_times.ts";

/** Up to so many nodes, all subsets in all orders are tried. */
export const EXACT_NODES = 10;

/** Nodes of a ring. */
export interface RingSet {
  /** Indexes, ascending; the first is 0, the starter. */
  readonly nodes: readonly number[];
  /** The same, fastest layer first. */
  readonly bySpeed: readonly number[];
}

/** What stages take. */
type StageTimes = Pick<StageLimits, "layerMs" | "besideMs">;

/** One number of rows: what all parts take, and the search over it. */
export class RowSearch {
  /** Rows of the longest decode frame. */
  readonly rows: number;
  /** Milliseconds of a frame: a layer at each node; embed and head, which only the starter has. */
  readonly frame: StageTimes;
  /** Milliseconds for each token, likewise, and what messages take at each node. */
  readonly token: StageTimes;
  readonly #samples: number;
  readonly #layers: number;
  /** Layers that each node's memory holds. */
  readonly #room: readonly number[];
  readonly #linkMs: number[][];
  readonly #linkTokenMs: number[][];
  /** All values that the greatest occupancy can have, ascending. */
  readonly #thresholds: Float64Array;
  /** The values of links' occupancies, ascending. */
  readonly #linkThresholds: number[];
  /** Ways round by how many of the links' values may be used. */
  readonly #tours = new Map<number, Tours>();
  /** Layers that each node takes below a threshold, by the threshold's index. */
  readonly #most = new Map<number, number[]>();

  /** Prepares the search. */
  constructor(problem: PlanProblem, room: readonly number[], rows: number) {
    const { nodes, model } = problem;
    const shares = shareFrames(samplesInFlight(problem), rows);
    this.rows = shares.rows;
    this.#samples = shares.samples;
    this.#layers = model.layers;
    this.#room = room;
    this.frame = {
      layerMs: nodes.map(({ layer }) => timeOf(layer, shares.rows)),
      besideMs: nodes.map(({ embed, head }, node) =>
        node > 0 ? 0 : timeOf(embed, shares.rows) + timeOf(head, shares.rows)
      ),
    };
    this.token = {
      layerMs: nodes.map(({ layer }) => timePerToken(layer, shares)),
      besideMs: nodes.map((node, i) =>
        messagesPerToken(node, shares) +
        (i > 0 ? 0 : timePerToken(node.embed, shares) + timePerToken(node.head, shares))
      ),
    };
    const table = (value: (from: number, to: number) => number) =>
      nodes.map((_, from) => nodes.map((_, to) => from === to ? Infinity : value(from, to)));
    this.#linkMs = table((from, to) =>
      linkLatencyMs(problem.link(from, to), shares.rows * model.rowBytes)
    );
    this.#linkTokenMs = table((from, to) => transferMs(problem.link(from, to), model.rowBytes));
    const linkValues = this.#linkTokenMs.flat().filter((ms) => ms < Infinity);
    this.#linkThresholds = [...new Set(linkValues)].sort((a, b) => a - b);
    const values = nodes.flatMap((_, node) =>
      Array.from({ length: Math.max(0, room[node]! + 1) }, (_, count) => this.#stageMs(node, count))
    );
    this.#thresholds = Float64Array.from(new Set([...values, ...this.#linkThresholds])).sort();
  }

  /** A ring of these nodes. */
  ringSet(nodes: readonly number[]): RingSet {
    const { layerMs } = this.frame;
    return { nodes, bySpeed: nodes.toSorted((a, b) => layerMs[a]! - layerMs[b]!) };
  }

  /** Least milliseconds per token that any of the sets gives; Infinity where none holds the model. */
  leastMs(sets: readonly RingSet[]): number {
    let low = 0;
    let high = this.#thresholds.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#leastLapMs(sets, middle) / this.#samples <= this.#thresholds[middle]!) {
        high = middle;
      } else low = middle + 1;
    }
    const bound = this.#thresholds[low] ?? Infinity;
    return low === 0 ? bound : Math.min(bound, this.#leastLapMs(sets, low - 1) / this.#samples);
  }

  /**
   * The first of the sets that reaches `perTokenMs`, in the order nearest to the given one.
   * Returns the node's indexes in the ring's order, and what a lap's stages may take together.
   */
  ringFor(sets: readonly RingSet[], perTokenMs: number): { order: number[]; stagesMs: number } {
    const budget = perTokenMs * this.#samples;
    const most = this.mostBelow(perTokenMs);
    const tours = this.#toursBelow(perTokenMs);
    for (const set of sets) {
      const stages = fastestCounts({ ...this.frame, most }, set.bySpeed, this.#layers);
      const secondaries = set.nodes.slice(1);
      if (!(stages + tours.leastMs(secondaries) <= budget)) continue;
      const order = tours.order(secondaries, budget - stages);
      const way = order.length < 2 ? 0 : order.reduce(
        (ms, node, at) => ms + this.#linkMs[node]![order[(at + 1) % order.length]!]!,
        0,
      );
      return { order, stagesMs: budget - way };
    }
    throw new RangeError(`Cannot find a ring of ${perTokenMs} ms a token`);
  }

  /** Layers that each node takes within an occupancy and its memory. */
  mostBelow(occupancyMs: number): number[] {
    return this.#room.map((room, node) => {
      let low = -1;
      for (let high = room; low < high;) {
        const middle = (low + high + 1) >> 1;
        if (this.#stageMs(node, middle) <= occupancyMs) low = middle;
        else high = middle - 1;
      }
      return low;
    });
  }

  #stageMs(node: number, count: number): number {
    return count * this.token.layerMs[node]! + this.token.besideMs[node]!;
  }

  /** Least milliseconds of a lap where no part is busier than a threshold. */
  #leastLapMs(sets: readonly RingSet[], threshold: number): number {
    const occupancyMs = this.#thresholds[threshold]!;
    let most = this.#most.get(threshold);
    if (!most) this.#most.set(threshold, most = this.mostBelow(occupancyMs));
    const limits = { ...this.frame, most };
    const tours = this.#toursBelow(occupancyMs);
    let least = Infinity;
    for (const { nodes, bySpeed } of sets) {
      const stages = fastestCounts(limits, bySpeed, this.#layers);
      // Ways round are dear where they are not known yet.
      if (stages < least) least = Math.min(least, stages + tours.leastMs(nodes.slice(1)));
    }
    return least;
  }

  #toursBelow(occupancyMs: number): Tours {
    const first = this.#linkThresholds.findIndex((ms) => ms > occupancyMs);
    const usable = first < 0 ? this.#linkThresholds.length : first;
    const known = this.#tours.get(usable);
    if (known) return known;
    const links = this.#linkMs.map((from, i) =>
      from.map((ms, j) => this.#linkTokenMs[i]![j]! <= occupancyMs ? ms : Infinity)
    );
    const tours = links.length <= EXACT_NODES ? exactTours(links) : heuristicTours(links);
    this.#tours.set(usable, tours);
    return tours;
  }
}

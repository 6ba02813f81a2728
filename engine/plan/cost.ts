/**
 * What a ring gives, from what its stages and links take.
 *
 * Frames go round a closed ring, each stage and each link takes one at a time, in order. With F frames in the
 * ring, the busiest part sets the pace where there are frames enough, and else a frame's way round does:
 *
 *     tokens/s = min(1 / max(occupancy), samples / (sum of stage times + sum of link latencies))
 *
 * That holds for frames of one row each, F = samples. Where S samples share F frames, some have ⌈S/F⌉ rows and
 * the others one fewer; a lap takes as long as the longest frame's, brings S tokens, and an occupancy is a part's
 * time for all F frames over S. A stage's time for r rows is what was measured for r rows, so batching gains what
 * it gains on that very device. With one point for each device nothing is gained, and one row is best.
 *
 * Measured rings showed what that left out: a device without a processor free for messages computes the less for each
 * frame that comes and goes. That counts in its occupancy; in a lap the links' latencies have it already.
 */
import { type RowTimes, timeOf } from "../../wasm/row_times.ts";
import { MAX_FRAME_ROWS } from "../ring/message.ts";
import {
  bytesBesideLayers,
  bytesPerLayer,
  type PlanDevice,
  type PlanLink,
  type PlanProblem,
  samplesInFlight,
} from "./problem.ts";

/** How samples share frames. */
export interface FrameShares {
  /** Samples in the ring. */
  readonly samples: number;
  /** Frames that they travel in. */
  readonly frames: number;
  /** Rows of the longest frame. */
  readonly rows: number;
  /** Frames of that many rows; the others have one fewer. */
  readonly longest: number;
}

/** What of a ring sets its pace, by index in the ring: link i leads from node i to the next. */
export interface Bottleneck {
  /** With "samples" there are too few of them to keep any part busy. */
  readonly kind: "node" | "link" | "samples";
  /** The busiest node or link, also where there are too few samples. */
  readonly index: number;
}

/** A ring's prediction; lists are in the ring's order. */
export interface RingCost {
  /** Tokens a second of all samples together. */
  readonly tokensPerSecond: number;
  /** Milliseconds from one token of a sample to its next, where nothing waits. */
  readonly lapMs: number;
  /** Milliseconds of one frame at each node; embed and head count at the starter. */
  readonly stageMs: readonly number[];
  /** Milliseconds for each token at each node. */
  readonly occupancyMs: readonly number[];
  /** Milliseconds of one frame on the link from each node to the next; none in a ring of one. */
  readonly linkMs: readonly number[];
  /** Milliseconds for each token that each link is taken. */
  readonly linkOccupancyMs: readonly number[];
  /** What sets the pace. */
  readonly bottleneck: Bottleneck;
  /** The node or link with the greatest occupancy. */
  readonly busiest: Bottleneck;
  /** Bytes of weights and KV caches at each node. */
  readonly memoryBytes: readonly number[];
}

/** Shares samples among frames of at most `rows` rows, as evenly as it goes. */
export function shareFrames(samples: number, rows: number): FrameShares {
  const frames = Math.ceil(samples / rows);
  const longest = samples % frames;
  return {
    samples,
    frames,
    rows: Math.ceil(samples / frames),
    longest: longest === 0 ? frames : longest,
  };
}

/** The distinct numbers of rows that the longest frame can have, ascending: ⌈samples/F⌉ for F frames. */
export function rowChoices(samples: number): number[] {
  const choices = new Set<number>();
  for (let frames = samples; frames >= 1; frames--) choices.add(Math.ceil(samples / frames));
  return [...choices].filter((rows) => rows <= MAX_FRAME_ROWS);
}

/** Milliseconds for each token, over frames that are shared so. */
export function timePerToken(times: RowTimes, shares: FrameShares): number {
  const { samples, frames, rows, longest } = shares;
  if (frames === longest) return timeOf(times, rows) * frames / samples;
  return (timeOf(times, rows) * longest + timeOf(times, rows - 1) * (frames - longest)) / samples;
}

/** Milliseconds for each token that messages take of a device's computing. */
export function messagesPerToken({ frameMs = 0 }: PlanDevice, shares: FrameShares): number {
  return frameMs * shares.frames / shares.samples;
}

/** Milliseconds that bytes take on a link. */
export function transferMs({ mbit }: PlanLink, bytes: number): number {
  return bytes * 8 / (mbit * 1000);
}

/** Milliseconds from a frame's leaving to its arrival. */
export function linkLatencyMs(link: PlanLink, bytes: number): number {
  return link.rttMs / 2 + transferMs(link, bytes);
}

/**
 * Predicts a ring.
 *
 * @param order Indexes of the problem's nodes in the ring's order, its starter first.
 * @param counts Layers of each, in that order.
 * @param rows Rows of a decode frame at most.
 */
export function ringCost(
  problem: PlanProblem,
  order: readonly number[],
  counts: readonly number[],
  rows: number,
): RingCost {
  const { model, nodes } = problem;
  const shares = shareFrames(samplesInFlight(problem), rows);
  const stages = order.map((node, at) => {
    const { layer, embed, head } = nodes[node]!;
    const frame = (take: (times: RowTimes) => number) =>
      counts[at]! * take(layer) + (at === 0 ? take(embed) + take(head) : 0);
    const messages = order.length < 2 ? 0 : messagesPerToken(nodes[node]!, shares);
    return {
      ms: frame((times) => timeOf(times, shares.rows)),
      occupancyMs: frame((times) => timePerToken(times, shares)) + messages,
      memoryBytes: bytesBesideLayers(problem, at === 0) + counts[at]! * bytesPerLayer(problem),
    };
  });
  const links = order.length < 2 ? [] : order.map((node, at) => {
    const link = problem.link(node, order[(at + 1) % order.length]!);
    return {
      ms: linkLatencyMs(link, shares.rows * model.rowBytes),
      occupancyMs: transferMs(link, model.rowBytes),
    };
  });
  const lapMs = sum(stages) + sum(links);
  const slowestNode = mostOccupied(stages);
  const slowestLink = mostOccupied(links);
  const nodeMs = stages[slowestNode]!.occupancyMs;
  const linkMs = links[slowestLink]?.occupancyMs ?? 0;
  const busiest: Bottleneck = linkMs > nodeMs
    ? { kind: "link", index: slowestLink }
    : { kind: "node", index: slowestNode };
  const perToken = Math.max(nodeMs, linkMs, lapMs / shares.samples);
  const isFull = lapMs / shares.samples <= Math.max(nodeMs, linkMs) * (1 + 1e-9);
  return {
    tokensPerSecond: 1000 / perToken,
    lapMs,
    stageMs: stages.map(({ ms }) => ms),
    occupancyMs: stages.map(({ occupancyMs }) => occupancyMs),
    linkMs: links.map(({ ms }) => ms),
    linkOccupancyMs: links.map(({ occupancyMs }) => occupancyMs),
    bottleneck: isFull ? busiest : { kind: "samples", index: busiest.index },
    busiest,
    memoryBytes: stages.map(({ memoryBytes }) => memoryBytes),
  };
}

function sum(parts: readonly { ms: number }[]): number {
  return parts.reduce((total, { ms }) => total + ms, 0);
}

function mostOccupied(parts: readonly { occupancyMs: number }[]): number {
  return parts.reduce((most, part, i) => part.occupancyMs > parts[most]!.occupancyMs ? i : most, 0);
}

/**
 * Runs a plan without the devices: the production scheduler under the virtual clock, over devices and
 * links that take the time that the plan's figures say. What the cost model states in a formula comes out here by
 * the schedule itself, and what a formula does not know can be asked for: samples that come and go,
 * prompts, jitter, loss, a device that throttles or dies.
 */
import { MdiError } from "../../wasm/error.ts";
import { timeOf } from "../../wasm/row_times.ts";
import { formatBytes } from "../format_bytes.ts";
import { kvLimit } from "../ring/kv_budget.ts";
import { CHUNK_ROWS, LINK_CREDITS, MAX_FRAME_ROWS } from "../ring/message.ts";
import { createScheduler } from "../ring/scheduler.ts";
import { VirtualClock } from "../ring/virtual_clock.ts";
import { randomStream } from "../text/random.ts";
import { DeviceSpeed, type Throttle } from "./device_speed.ts";
import { planFromCounts } from "./plan.ts";
import { bytesBesideLayers, type PlanProblem, requireProblem } from "./problem.ts";
import { RunRecorder, type SimulationTotals } from "./run_recorder.ts";
import { type SimulatedLink, type SimulatedNode, SimulatedRing } from "./simulated_ring.ts";
import type { Timeline } from "./timeline.ts";
import { type Arrival, arrivals, LINK_STREAMS, longest, type Workload } from "./workload.ts";

/** Which device has how many layers; a planned ring is one. */
export interface SimulatedPlan {
  /** Indexes of the problem's nodes in the ring's order, the starter (0) first. */
  readonly order: readonly number[];
  /** Layers of each, in that order. */
  readonly counts: readonly number[];
  /**
   * Frames that the decoding samples are spread over.
   *
   * @default {as many as nodes}
   */
  readonly decodeFrames?: number;
  /**
   * Prefill chunks in the ring at once.
   *
   * @default {as many as nodes}
   */
  readonly prefillFrames?: number;
}

/** What is to be simulated, beside the plan. */
export interface SimulateOptions extends Workload {
  /**
   * Samples in the ring at once.
   *
   * @default {the problem's, as far as there are so many}
   */
  readonly slots?: number;
  /** The same seed gives the same run. @default {0n} */
  readonly seed?: bigint;
  /** By how many ms a message's latency varies to both sides. @default {0} */
  readonly jitterMs?: number;
  /** Probability that a TCP segment is lost. @default {0} */
  readonly loss?: number;
  /** How long each loss holds its connection up, in ms. @default {as TCP does} */
  readonly stallMs?: number;
  /**
   * Messages that a link's receiver lets come before it takes one. They are given back half of them at a
   * time, so a link carries no more than about half as many frames in a round trip.
   *
   * @default {16, as rings have}
   */
  readonly credits?: number;
  /** Devices that get slower; `node` is an index of the problem's nodes. */
  readonly throttles?: readonly (Throttle & { readonly node: number })[];
  /** Devices that die. */
  readonly deaths?: readonly { readonly node: number; readonly atMs: number }[];
  /** Whether the timeline has what each node and link did. Samples are always in it. @default {true} */
  readonly record?: boolean;
}

/** What a simulation gave. */
export interface Simulation {
  readonly timeline: Timeline;
  readonly totals: SimulationTotals;
}

/**
 * Simulates a ring until its samples are done, or nothing more can happen as a device died.
 *
 * @param plan A planned ring, or counts and order that somebody wants to know about.
 * @throws {MdiError} memory where a node cannot hold its layers, or no sample's caches.
 * @throws {RangeError} where a number is out of its range.
 */
export function simulate(
  problem: PlanProblem,
  plan: SimulatedPlan,
  options: SimulateOptions,
): Simulation {
  requireProblem(problem);
  requirePlan(problem, plan);
  const { order, counts, decodeFrames, prefillFrames } = plan;
  const { samples, seed = 0n, record = true } = options;
  integer("samples", samples, 1);
  const wanted = integer("slots", options.slots ?? problem.samples, 1);
  const slots = Math.min(wanted, samples, MAX_FRAME_ROWS);
  const weightBytes = counts.map((count, at) =>
    bytesBesideLayers(problem, at === 0) + count * problem.model.layerBytes
  );
  const kvBytesPerToken = counts.map((count) => count * problem.model.kvBytesPerTokenLayer);
  const kvTokens = kvRoom(problem, order, weightBytes, kvBytesPerToken);
  requireRoom(kvTokens, longest(options.promptTokens) + longest(options.tokens));
  const clock = new VirtualClock();
  const { nodes } = planFromCounts(order.map((node) => problem.nodes[node]!.name), counts);
  const recorder = new RunRecorder({
    clock,
    nodes: nodes.map((node, at) => ({ ...node, weightBytes: weightBytes[at]! })),
    kvBytesPerToken,
    inFlight: slots,
    samples,
  });
  const scheduler = createScheduler({
    nodes: order.length,
    slots,
    chunk: CHUNK_ROWS,
    kvTokens,
    queueLimit: samples,
    ...(decodeFrames !== undefined && { decodeFrames }),
    ...(prefillFrames !== undefined && { prefillFrames }),
  });
  const ring = new SimulatedRing({
    clock,
    scheduler,
    nodes: simulatedNodes(problem, plan, options),
    links: simulatedLinks(problem, plan, options),
    rowBytes: problem.model.rowBytes,
    credits: integer("credits", options.credits ?? LINK_CREDITS, 1),
    onToken: (sample) => recorder.token(sample),
    onAction: (action) => recorder.action(action),
    ...(record && {
      onBusy: (node, span) => recorder.busy(node, span),
      onFrame: (link, frame) => recorder.frame(link, frame),
    }),
  });
  recorder.watch(ring);
  const coming = arrivals(options, seed);
  // Nobody takes samples into a ring that is broken.
  const brokenAt = Math.min(
    Infinity,
    ...(options.deaths ?? []).filter(({ node }) => order.includes(node)).map(({ atMs }) => atMs),
  );
  submitFrom(coming.next());
  while (clock.next());
  return recorder.end(scheduler.kvPeakTokens);

  /** Submits what comes now, then waits for the next one. */
  function submitFrom(next: IteratorResult<Arrival>): void {
    for (; !next.done && next.value.atMs <= clock.now(); next = coming.next()) {
      const { promptTokens: tokens, tokens: limit } = next.value;
      const sample = recorder.arrived(tokens, limit);
      ring.tell({ type: "submit", sample, tokens, capacity: tokens + limit });
    }
    if (next.done || next.value.atMs >= brokenAt) return;
    clock.after(next.value.atMs - clock.now(), () => submitFrom(next));
  }
}

function simulatedNodes(
  problem: PlanProblem,
  { order, counts }: SimulatedPlan,
  { throttles, deaths }: SimulateOptions,
): SimulatedNode[] {
  return order.map((node, at) => {
    const { layer, embed, head, frameMs = 0 } = problem.nodes[node]!;
    const messagesMs = order.length < 2 ? 0 : frameMs;
    return {
      layersMs: (rows) => counts[at]! * timeOf(layer, rows) + messagesMs,
      embedMs: (rows) => timeOf(embed, rows),
      headMs: (rows) => timeOf(head, rows),
      speed: new DeviceSpeed(
        throttles?.filter((each) => each.node === node),
        deaths?.find((each) => each.node === node)?.atMs,
      ),
    };
  });
}

function simulatedLinks(
  problem: PlanProblem,
  { order }: SimulatedPlan,
  { seed = 0n, jitterMs = 0, loss = 0, stallMs }: SimulateOptions,
): SimulatedLink[] {
  if (!(jitterMs >= 0 && jitterMs < Infinity)) {
    throw new RangeError(`Cannot simulate a jitter of ${jitterMs} ms: it must be at least 0`);
  }
  if (stallMs !== undefined && !(stallMs >= 0 && stallMs < Infinity)) {
    throw new RangeError(`Cannot simulate stalls of ${stallMs} ms: they must be at least 0`);
  }
  if (!(loss >= 0 && loss < 1)) {
    throw new RangeError(`Cannot simulate a loss of ${loss}: it must be from 0 to below 1`);
  }
  if (order.length === 1) return [];
  return order.map((node, at) => {
    const random = randomStream(seed, LINK_STREAMS + at);
    const { rttMs, mbit } = problem.link(node, order[(at + 1) % order.length]!);
    return { rttMs, mbit, jitterMs, loss, stallMs, random: () => random.nextFloat() };
  });
}

/**
 * Cached tokens that every node has room for.
 * @throws {MdiError} memory where a node cannot hold its weights.
 */
function kvRoom(
  { nodes }: PlanProblem,
  order: readonly number[],
  weightBytes: readonly number[],
  kvBytesPerToken: readonly number[],
): number {
  return kvLimit(order.map((node, at) => {
    const { name, memoryBytes } = nodes[node]!;
    const weights = weightBytes[at]!;
    if (weights > memoryBytes) {
      throw new MdiError(
        "memory",
        `Cannot simulate this split: ${name} would hold ${
          formatBytes(weights)
        } of weights and has ` +
          `${formatBytes(memoryBytes)}; give it fewer layers`,
        { details: { node: name, weightBytes: weights, memoryBytes } },
      );
    }
    return {
      memoryBytes: memoryBytes - weights,
      kvBytesPerToken: kvBytesPerToken[at]!,
      kvPageTokens: 1,
    };
  })).tokens;
}

function requireRoom(kvTokens: number, capacity: number): void {
  if (capacity <= kvTokens) return;
  throw new MdiError(
    "memory",
    `Cannot simulate samples of ${capacity} tokens: beside the weights there is room for ${kvTokens}; ` +
      "ask for fewer tokens or split the model otherwise",
    { details: { capacity, kvTokens } },
  );
}

function requirePlan({ model, nodes }: PlanProblem, { order, counts }: SimulatedPlan): void {
  const known = order.every((node) => Number.isInteger(node) && node >= 0 && node < nodes.length);
  if (order[0] !== 0 || !known || new Set(order).size !== order.length) {
    throw new RangeError(
      `Cannot simulate the order ${order.join(", ")}: it must begin with 0 and name no node twice`,
    );
  }
  const total = counts.reduce((sum, count) => sum + integer("layers of a node", count, 0), 0);
  if (counts.length !== order.length || total !== model.layers) {
    throw new RangeError(
      `Cannot simulate the layers ${counts.join(", ")}: ${order.length} nodes have to hold ` +
        `${model.layers} together`,
    );
  }
}

function integer(name: string, value: number, min: number): number {
  if (Number.isSafeInteger(value) && value >= min) return value;
  throw new RangeError(
    `Cannot simulate with ${name} = ${value}: it must be a whole number from ${min}`,
  );
}

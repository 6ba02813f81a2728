/** What the planner is asked: a model, devices, links, and what is wanted of them. Plain data. */
import type { RowTimes } from "../../wasm/row_times.ts";
import { MAX_RING_NODES } from "../ring/message.ts";

/** A device that layers can be put on. */
export interface PlanDevice {
  /** The node's name for people. */
  readonly name: string;
  /** Bytes free for weights and KV caches; what the process itself takes is off already. */
  readonly memoryBytes: number;
  /** One layer, decode rows, at the problem's context. */
  readonly layer: RowTimes;
  /** Embed, as if this device were the starter. */
  readonly embed: RowTimes;
  /** Head, as if this device were the starter. */
  readonly head: RowTimes;
  /**
   * Milliseconds for each frame that comes and goes, where the threads that compute leave no processor free
   * for messages.
   *
   * @default {0}
   */
  readonly frameMs?: number;
}

/** The way from one device to another. */
export interface PlanLink {
  /** Milliseconds there and back. */
  readonly rttMs: number;
  /** Megabits a second; Infinity where nobody could measure a limit. */
  readonly mbit: number;
}

/** What the planner knows of a model. */
export interface PlanModel {
  /** Layers, all alike. */
  readonly layers: number;
  /** Bytes of one layer's weights as a node holds them. */
  readonly layerBytes: number;
  /** Bytes of KV cache for each cached token in one layer. */
  readonly kvBytesPerTokenLayer: number;
  /** Bytes of embed, which the starter holds. */
  readonly embedBytes: number;
  /** Bytes of head, which the starter holds. */
  readonly headBytes: number;
  /** Bytes of one row on a link, its share of the frame's header with it. */
  readonly rowBytes: number;
}

/** What is wanted: many samples' tokens, or one sample's next token soon. */
export type PlanGoal = "throughput" | "latency";

/** A model to be put on devices. */
export interface PlanProblem {
  /** What is to be put on them. */
  readonly model: PlanModel;
  /** All that there is; the first is the starter. */
  readonly nodes: readonly PlanDevice[];
  /** The way between two of the nodes, by index. */
  link(from: number, to: number): PlanLink;
  /** Samples in the ring at once; each has its caches on every node. */
  readonly samples: number;
  /** Tokens that a sample's caches have room for. */
  readonly context: number;
  /** With "latency" one sample is in flight and its next token's time is what counts. */
  readonly goal: PlanGoal;
}

/** Most frames in the ring at once: one for each sample, or one where only its latency counts. */
export function samplesInFlight(problem: PlanProblem): number {
  return problem.goal === "latency" ? 1 : problem.samples;
}

/** Most nodes that a ring can have: those of {@linkcode MAX_RING_NODES}, each but the starter with a layer. */
export function mostNodes({ nodes, model }: PlanProblem): number {
  return Math.min(nodes.length, model.layers + 1, MAX_RING_NODES);
}

/** Bytes that each layer takes on a node: its weights and every sample's cache. */
export function bytesPerLayer({ model, samples, context }: PlanProblem): number {
  return model.layerBytes + samples * context * model.kvBytesPerTokenLayer;
}

/** Bytes that a node takes beside its layers. */
export function bytesBesideLayers({ model }: PlanProblem, isStarter: boolean): number {
  return isStarter ? model.embedBytes + model.headBytes : 0;
}

/** Layers that a node's memory holds; below 0 where not even what it takes beside them has room. */
export function roomFor(problem: PlanProblem, node: number, isStarter: boolean): number {
  const { layers } = problem.model;
  const free = problem.nodes[node]!.memoryBytes - bytesBesideLayers(problem, isStarter);
  if (free < 0) return -1;
  const each = bytesPerLayer(problem);
  // A quotient that is rounded up must not promise more than there is.
  const room = Math.min(layers, each === 0 ? layers : Math.floor(free / each));
  return room * each > free ? room - 1 : room;
}

/**
 * Checks what the planner relies on.
 * @throws {RangeError} that names the field.
 */
export function requireProblem(problem: PlanProblem): void {
  const { model, nodes, samples, context } = problem;
  whole("layers", model.layers, 1);
  whole("samples", samples, 1);
  whole("context", context, 1);
  atLeast("layerBytes", model.layerBytes, 0);
  atLeast("kvBytesPerTokenLayer", model.kvBytesPerTokenLayer, 0);
  atLeast("embedBytes", model.embedBytes, 0);
  atLeast("headBytes", model.headBytes, 0);
  atLeast("rowBytes", model.rowBytes, 0);
  whole("nodes", nodes.length, 1);
  nodes.forEach((node, from) => {
    atLeast(`memoryBytes of ${node.name}`, node.memoryBytes, 0);
    times(`layer of ${node.name}`, node.layer);
    times(`embed of ${node.name}`, node.embed);
    times(`head of ${node.name}`, node.head);
    atLeast(`frameMs of ${node.name}`, node.frameMs ?? 0, 0);
    const least = Math.min(...node.layer.ms);
    if (least <= 0) throw wrong(`layer of ${node.name}`, least, "above 0");
    nodes.forEach((other, to) => {
      if (from === to) return;
      const { rttMs, mbit } = problem.link(from, to);
      atLeast(`rttMs from ${node.name} to ${other.name}`, rttMs, 0);
      if (!(mbit > 0)) throw wrong(`mbit from ${node.name} to ${other.name}`, mbit, "above 0");
    });
  });
}

function times(name: string, { rows, ms }: RowTimes): void {
  if (rows.length === 0 || rows.length !== ms.length || rows[0] !== 1) {
    throw wrong(`points of ${name}`, rows.length, "as many rows as ms, the first row 1");
  }
  rows.forEach((row, i) => {
    if (i > 0 && !(row > rows[i - 1]!)) throw wrong(`rows of ${name}`, row, "ascending");
    atLeast(`ms of ${name}`, ms[i]!, 0);
  });
}

function whole(name: string, value: number, min: number): void {
  if (!Number.isSafeInteger(value) || value < min) {
    throw wrong(name, value, `a whole number from ${min}`);
  }
}

function atLeast(name: string, value: number, min: number): void {
  if (!Number.isFinite(value) || value < min) throw wrong(name, value, `at least ${min}`);
}

function wrong(name: string, value: number, right: string): RangeError {
  return new RangeError(`Cannot plan: ${name} is ${value}, which is not ${right}`);
}

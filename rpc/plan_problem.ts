/** From what was measured to the question that the planner answers. Pure. */
import { nodeBytes, residentBytes } from "../wasm/stage_memory.ts";
import { PROFILE_CACHED, type StageProfile } from "../wasm/profile.ts";
import type { RowTimes } from "../wasm/row_times.ts";
import type { Manifest } from "../engine/model/types.ts";
import type { PlanDevice, PlanLink, PlanProblem } from "../engine/plan/problem.ts";
import { ADDRESSABLE_BYTES, KV_SHARE } from "./device.ts";

/** Cached tokens that a row meets on average: half of an answer of usual length. */
export const TYPICAL_CACHED = 128;
/** Positions that are counted on, where nobody says how many and the model has more. */
const DEFAULT_CONTEXT = 1024;
/** Bytes of a decode frame beside its rows, the connection's own included. */
const HEADER_BYTES = 64;
/** What a process's memory is more from one moment to the next. */
export const SLACK_BYTES = 10e6;
/** The planner wants times above 0; no device has them below this. */
const LEAST_MS = 1e-6;
/**
 * What a frame takes of processors beside computing, in what a small echo takes: it goes to the compute thread and
 * back too. Measured on secondaries of one process each: 1.1 ms against 0.5 ms.
 */
const ECHOES_PER_FRAME = 2;
/** What stands for the way to a node that was not reached: no ring that has another takes it. */
const NO_WAY: PlanLink = { rttMs: 1e6, mbit: 1e-3 };

/** A node as the problem takes it in. */
export interface MeasuredNode {
  name: string;
  /** What it has free, once it is measured and before anything is loaded. */
  memoryFreeBytes: number;
  /**
   * Milliseconds of its processors for a message that it sends and one that it receives.
   *
   * @default {0}
   */
  messageCpuMs?: number;
  profile: StageProfile;
}

/** What {@linkcode planProblem} is made from. */
export interface ProblemInput {
  manifest: Manifest;
  /** The starter first; its profile has embed and head. */
  nodes: readonly MeasuredNode[];
  /** `links[i][j]` is the way from node i to node j; undefined where it was not measured. */
  links: readonly (readonly (PlanLink | undefined)[])[];
  /** Samples in flight. */
  samples: number;
  /** Cached tokens of each that memory is kept for. */
  context: number;
  /** Form of the hidden states on the wire. */
  wire: "f32" | "f16";
}

/** Positions of each sample that the plan keeps memory for. */
export function plannedContext(given: number | undefined, manifest: Manifest): number {
  return given ?? Math.min(DEFAULT_CONTEXT, manifest.config.context);
}

/**
 * Puts the problem together. Caches are counted with the share of memory that a node keeps free of them. The
 * same layer takes the same memory on every node, so what the starter found counts, whatever others say. What a
 * secondary would take for embed and head, were it the starter, is what the starter takes, by the ratio of
 * their times for one row of a layer. A link's latency has the far end's way to its compute thread with it.
 */
export function planProblem(input: ProblemInput): PlanProblem {
  const { manifest, nodes, links, samples, context, wire } = input;
  const { layers, hidden } = manifest.config;
  const resident = (accept: (name: string) => boolean) =>
    manifest.blocks.filter(({ name }) => accept(name))
      .map((block) => residentBytes(block, "simd"));
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const starter = nodes[0]!.profile;
  return {
    model: {
      layers,
      layerBytes: Math.max(
        starter.layerWeightBytes,
        ...resident((name) => name.startsWith("layer.")),
      ),
      kvBytesPerTokenLayer: Math.ceil(starter.kvBytesPerTokenLayer / KV_SHARE),
      // "shared" has what several blocks refer to: the table of a tied head.
      embedBytes: sum(resident((name) => name === "embed" || name === "shared")),
      headBytes: sum(resident((name) => name === "head")),
      rowBytes: (wire === "f16" ? 2 : 4) * hidden + HEADER_BYTES,
    },
    nodes: nodes.map((node) => planDevice(node, starter, TYPICAL_CACHED)),
    link: (from, to) => {
      const link = links[from]?.[to] ?? NO_WAY;
      return { ...link, rttMs: link.rttMs + 2 * nodes[to]!.profile.callMs };
    },
    samples,
    context,
    goal: samples === 1 ? "latency" : "throughput",
  };
}

/** The same problem for rows that meet `cached` tokens on average, and so many samples in flight. */
export function withLoad(
  problem: PlanProblem,
  profiles: readonly StageProfile[],
  { samples, cached }: { samples: number; cached: number },
): PlanProblem {
  return {
    ...problem,
    samples,
    nodes: problem.nodes.map((node, i) => ({ ...node, layer: layerTimes(profiles[i]!, cached) })),
  };
}

/** What a frame's messages take of computing: nothing where a processor is free for them. */
function frameMs({ profile: { threads, processors }, messageCpuMs = 0 }: MeasuredNode): number {
  return threads < processors ? 0 : ECHOES_PER_FRAME * messageCpuMs / processors;
}

function planDevice(
  node: MeasuredNode,
  starter: StageProfile,
  cached: number,
): PlanDevice {
  const { name, memoryFreeBytes, profile } = node;
  const ratio = profile.layer.ms[0]! / Math.max(LEAST_MS, starter.layer.ms[0]!);
  const scaled = (own: RowTimes | null, starters: RowTimes | null): RowTimes =>
    own ?? {
      rows: starters?.rows ?? [1],
      ms: (starters?.ms ?? [0]).map((ms) => ratio * ms),
    };
  return {
    name,
    memoryBytes: Math.min(
      ADDRESSABLE_BYTES,
      Math.max(0, memoryFreeBytes - nodeBytes("simd") - SLACK_BYTES),
    ),
    layer: layerTimes(profile, cached),
    embed: withCall(scaled(profile.embed, starter.embed), profile),
    head: withCall(scaled(profile.head, starter.head), profile),
    frameMs: frameMs(node),
  };
}

/** With the way to the compute thread and back, which embed and the layers of the starter take once. */
function withCall({ rows, ms }: RowTimes, { callMs }: StageProfile): RowTimes {
  return { rows, ms: ms.map((each) => each + callMs) };
}

/** One layer over rows that meet `cached` tokens each. */
export function layerTimes({ layer, layerCachedMs }: StageProfile, cached: number): RowTimes {
  const more = layerCachedMs * (cached - PROFILE_CACHED);
  return {
    rows: layer.rows,
    ms: layer.ms.map((ms, i) => Math.max(LEAST_MS, ms + more * layer.rows[i]!)),
  };
}

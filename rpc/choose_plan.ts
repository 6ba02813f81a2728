/**
 * Which node holds which layers. With `layers` as a person says; else, where there are peers, as the planner
 * finds best from what all nodes measured of themselves and of their links; and where that cannot be had, by
 * cores and free memory.
 */
import { MdiError, type MdiErrorCode, messageOf } from "../wasm/error.ts";
import { PAGE } from "../wasm/simd/abi.ts";
import type { KvType } from "../wasm/stage.ts";
import { advise } from "../engine/plan/advice.ts";
import type { Plan } from "../engine/plan/plan.ts";
import { type PlannedRing, planRing } from "../engine/plan/planner.ts";
import type { PlanProblem } from "../engine/plan/problem.ts";
import { wholePages } from "../engine/ring/kv_budget.ts";
import type { Address } from "./address.ts";
import { backendOf } from "./device.ts";
import { type MeasuredNodes, measureNodes, PROFILE_CAPABILITY } from "./measure_nodes.ts";
import type { Peer } from "./peer.ts";
import { plannedContext, planProblem, type ProblemInput } from "./plan_problem.ts";
import { planLayers } from "./plan_ring.ts";
import type { PreparedRing } from "./prepare_ring.ts";
import type { StageProfile } from "../wasm/profile.ts";

/** What the choice depends on beside the nodes and the model. */
export interface ChoiceOptions {
  /** What the user says of the layers. */
  layers: string | readonly number[] | undefined;
  /** Samples in flight that are expected. */
  samples: number;
  /** Positions of each, where the user says how many. */
  context: number | undefined;
  /** Where this node's server listens; undefined where there are no peers. */
  listen: Address | undefined;
  /** Measures the nodes, whatever they measured before. */
  again?: boolean;
}

/** What {@linkcode measureForPlan} and {@linkcode planMeasured} depend on. */
export interface MeasuredPlanOptions extends Omit<ChoiceOptions, "layers"> {
  listen: Address;
}

/** What a plan was made from, for comparing it with the run. */
export interface PlanBasis {
  problem: PlanProblem;
  planned: PlannedRing;
  /** As the problem's nodes. */
  profiles: readonly StageProfile[];
}

/** A plan and who is in it. */
export interface ChosenPlan {
  plan: Plan;
  /** The peers of the ring, in its order. */
  peers: readonly Peer[];
  /** Those that it goes without. */
  leftOut: readonly Peer[];
  /** What it was made from; undefined where nothing was measured. */
  basis: PlanBasis | undefined;
}

/** What `layers` says where the split is to be by cores and free memory, unmeasured, over every node. */
const EVEN = "even";
/** Failures of a measurement with which there is no ring either. */
const NO_RING: ReadonlySet<MdiErrorCode> = new Set(["peer_lost", "peer_unreachable", "busy"]);

/**
 * Chooses.
 * @throws {RangeError} where `layers` does not fit the model or the nodes.
 * @throws {MdiError} memory where the nodes cannot hold the model; peer_lost, peer_unreachable or busy where a
 * peer is not there any more; cancelled.
 */
export async function choosePlan(
  ring: PreparedRing,
  options: ChoiceOptions,
): Promise<ChosenPlan> {
  const { node, peers, manifest } = ring;
  const { layers } = options;
  const unmeasured = (given: typeof layers): ChosenPlan => ({
    plan: planLayers(given === EVEN ? undefined : given, manifest, node, peers),
    peers,
    leftOut: [],
    basis: undefined,
  });
  if (layers !== undefined || peers.length === 0 || !options.listen) return unmeasured(layers);
  const measuring = { ...options, listen: options.listen };
  let measured: MeasuredNodes;
  try {
    measured = await measureForPlan(ring, measuring);
  } catch (error) {
    ring.signal.throwIfAborted();
    if (error instanceof MdiError && NO_RING.has(error.code)) throw error;
    const why = messageOf(error);
    node.onEvent({
      type: "note",
      message: `split by cores and memory, as nothing is known of the nodes' speed: ${why}`,
    });
    return unmeasured(undefined);
  }
  const basis = planMeasured(ring, measuring, measured);
  const { planned, problem } = basis;
  if (planned.leftOut.length > 0) {
    const message = `${advise(problem, planned)} (--layers ${EVEN} uses all the same)`;
    node.onEvent({ type: "note", message });
  }
  const peerAt = (index: number) => peers[index - 1]!;
  return {
    plan: planned.plan,
    peers: planned.order.slice(1).map(peerAt),
    leftOut: planned.leftOut.map(peerAt),
    basis,
  };
}

/**
 * Has all nodes and links measured.
 * @throws {MdiError} refused_version where a node cannot measure itself, model_unsupported where one computes
 * with ONNX Runtime, of which no plan is made, and what a node fails or refuses with.
 */
export async function measureForPlan(
  ring: PreparedRing,
  { listen, again = false }: MeasuredPlanOptions,
): Promise<MeasuredNodes> {
  const { manifest, node, store, peers, advertise, kv, signal } = ring;
  const without = peers.filter((peer) => !peer.capabilities.includes(PROFILE_CAPABILITY));
  if (without.length > 0) {
    throw new MdiError(
      "refused_version",
      `Cannot measure ${
        without.map(({ name, version }) => `${name} (mdi ${version})`).join(" and ")
      }: that release does not measure itself; run the same one on all nodes`,
    );
  }
  requireKernels(ring, [node.backend, ...peers.map(({ device }) => backendOf(device))]);
  const measured = await measureNodes({
    ...{ manifest, node, store, peers, kv, listen, advertise, again, signal },
  });
  requireKernels(ring, measured.nodes.map(({ profile }) => profile.backend));
  return measured;
}

/** @param backends of the starter, then of the peers: as they are told before, or as they were found. */
function requireKernels(ring: PreparedRing, backends: readonly string[]): void {
  const without = namesOf(ring).filter((_, i) => backends[i] === "ort");
  if (without.length === 0) return;
  throw new MdiError(
    "model_unsupported",
    `Cannot plan with ${
      without.join(" and ")
    }: ONNX Runtime computes there; say the layers with --layers`,
  );
}

/**
 * Plans with what was measured, and says where memory sets limits.
 * @throws {MdiError} memory
 */
export function planMeasured(
  ring: PreparedRing,
  { samples, context }: MeasuredPlanOptions,
  { nodes, links }: MeasuredNodes,
): PlanBasis {
  const { manifest, node, wire, kv } = ring;
  const { problem, planned, note } = planWithin({
    ...{ manifest, links, samples, wire },
    context: plannedContext(context, manifest),
    nodes: namesOf(ring).map((name, i) => ({
      name,
      memoryFreeBytes: nodes[i]!.memoryFreeBytes,
      messageCpuMs: leastMessage(links[i]!),
      profile: nodes[i]!.profile,
    })),
  }, kv);
  if (note !== null) node.onEvent({ type: "note", message: note });
  return { problem, planned, profiles: nodes.map(({ profile }) => profile) };
}

/** Of what messages took of a node's processors on each of its links, the least disturbed. */
function leastMessage(links: MeasuredNodes["links"][number]): number {
  const measured = links.flatMap((link) => link ? [link.messageCpuMs] : []);
  return measured.length === 0 ? 0 : Math.min(...measured);
}

/** The starter, then the peers as they were given. */
function namesOf({ node, peers }: PreparedRing): string[] {
  return [node.name, ...peers.map(({ name }) => name)];
}

/**
 * Plans with room for all samples' caches, else for those of one, else for a page of one in each layer.
 * @returns the plan, and what is to be said of the room; null for nothing.
 * @throws {MdiError} memory where the model fits in no way.
 */
export function planWithin(
  input: ProblemInput,
  kv: KvType,
): { problem: PlanProblem; planned: PlannedRing; note: string | null } {
  const { samples, context } = input;
  // Caches grow by whole pages, so that is what they are counted in.
  const pages = wholePages(context, PAGE);
  const less = kv === "f32" ? ", or keep smaller ones with --kv f16 or --kv int8" : "";
  const attempts = [
    { kept: pages, note: null },
    ...(samples > 1
      ? [{
        kept: Math.ceil(pages / samples),
        note:
          `memory holds the KV caches of one sample of ${context} tokens and not of ${samples}: others may wait for room${less}`,
      }]
      : []),
    {
      kept: Math.ceil(PAGE / samples),
      note:
        `memory does not hold the KV caches of a sample of ${context} tokens: only shorter ones fit${less}`,
    },
  ];
  let refusal: unknown;
  for (const { kept, note } of attempts) {
    try {
      const problem = planProblem({ ...input, context: kept });
      return { problem, planned: planRing(problem), note };
    } catch (error) {
      if (!(error instanceof MdiError) || error.code !== "memory") throw error;
      refusal ??= error;
    }
  }
  throw refusal;
}

/** A plan as plain data: the record that `mdi plan --json` prints. */
import { advise, busiestName } from "./advice.ts";
import type { PlannedRing } from "./planner.ts";
import type { PlanProblem } from "./problem.ts";

/** One node of the ring in a {@linkcode PlanReport}. */
export interface PlanReportNode {
  /** The node's name. */
  node: string;
  /** First and last layer; null where the starter holds none. */
  layers: [number, number] | null;
  /** Milliseconds of a frame; embed and head count at the starter. */
  stage_ms: number;
  /** Milliseconds for each token. */
  occupancy_ms: number;
  /** Bytes of weights and KV caches. */
  memory_bytes: number;
  /** Cached tokens that the node's memory has room for beside its weights; null where it holds no layers. */
  kv_tokens: number | null;
}

/** A plan for programs; names as in all records. */
export interface PlanReport {
  /** The ring in its order. */
  plan: PlanReportNode[];
  /** Nodes that are faster left out. */
  left_out: string[];
  /** Predicted, of all samples together. */
  tokens_per_second: number;
  /** The busiest node, or the busiest link as "a -> b". */
  bottleneck: string;
  /** What sets the pace: "samples" where there are too few of them to keep the busiest busy. */
  limited_by: "node" | "link" | "samples";
  /** Tokens a second of the fastest node that holds all by itself. */
  single_node: number | null;
  /** Tokens a second of independent copies on all nodes that can have one. */
  replicas: number | null;
  /** Most tokens a second of rings of exactly 1, 2, … nodes. */
  by_nodes: (number | null)[];
  /** What the plan is best at. */
  goal: PlanProblem["goal"];
  /** Samples in the ring. */
  samples: number;
  /** Tokens that each sample's caches have room for. */
  context: number;
  /** Decode frames in the ring at once. */
  decode_frames: number;
  /** Rows of the longest of them. */
  rows_per_frame: number;
  /** Milliseconds between two tokens of one sample, where nothing waits. */
  lap_ms: number;
  /** What to do, in one sentence. */
  advice: string;
}

/** Puts a plan into plain data. */
export function planReport(problem: PlanProblem, planned: PlannedRing): PlanReport {
  const { plan, cost, order, counts, singleNode, replicas } = planned;
  return {
    plan: plan.nodes.map(({ name, layers }, at) => ({
      node: name,
      layers: layers && [layers[0], layers[1]],
      stage_ms: rounded(cost.stageMs[at]!),
      occupancy_ms: rounded(cost.occupancyMs[at]!),
      memory_bytes: cost.memoryBytes[at]!,
      kv_tokens: kvTokens(problem, order[at]!, counts[at]!, cost.memoryBytes[at]!),
    })),
    left_out: planned.leftOut.map((node) => problem.nodes[node]!.name),
    tokens_per_second: rounded(cost.tokensPerSecond),
    bottleneck: busiestName(planned),
    limited_by: cost.bottleneck.kind,
    single_node: singleNode && rounded(singleNode.tokensPerSecond),
    replicas: replicas && rounded(replicas.tokensPerSecond),
    by_nodes: planned.byNodes.map((each) => each === null ? null : rounded(each)),
    goal: problem.goal,
    samples: problem.samples,
    context: problem.context,
    decode_frames: planned.decodeFrames,
    rows_per_frame: planned.rowsPerFrame,
    lap_ms: rounded(cost.lapMs),
    advice: advise(problem, planned),
  };
}

/** Cached tokens, of all samples together, that a node could hold with these layers. */
function kvTokens(
  { nodes, model, samples, context }: PlanProblem,
  node: number,
  layers: number,
  bytes: number,
): number | null {
  const perToken = layers * model.kvBytesPerTokenLayer;
  if (perToken === 0) return null;
  return samples * context + Math.floor((nodes[node]!.memoryBytes - bytes) / perToken);
}

/** Without the digits that are only rounding. */
function rounded(value: number): number {
  return Number(value.toPrecision(12));
}

/** What a plan comes to, in one sentence. */
import { formatBytes } from "../format_bytes.ts";
import { formatRate } from "../format_rate.ts";
import { MAX_FRAME_ROWS } from "../ring/message.ts";
import type { PlannedRing } from "./planner.ts";
import type { PlanProblem } from "./problem.ts";
import {
  bytesBesideLayers,
  bytesPerLayer,
  mostNodes,
  roomFor,
  samplesInFlight,
} from "./problem.ts";

/** Replicas that gain less than this share are not worth their memory. */
const WORTH_A_WORD = 1.01;
/** Names in a list; of more, the rest are counted. */
const MOST_NAMES = 8;

/** One sentence: who is in the ring and why, what sets its pace, and what would give more. */
export function advise(problem: PlanProblem, planned: PlannedRing): string {
  return [who(problem, planned), pace(problem, planned), copies(problem, planned)]
    .filter((part) => part !== "").join("; ");
}

/** The name of what a plan's pace depends on most: a node, or a link as "a -> b". */
export function busiestName({ plan: { nodes }, cost: { busiest } }: PlannedRing): string {
  const name = nodes[busiest.index]!.name;
  if (busiest.kind === "node") return name;
  return `${name} -> ${nodes[(busiest.index + 1) % nodes.length]!.name}`;
}

function who(problem: PlanProblem, planned: PlannedRing): string {
  const { nodes, model, goal } = problem;
  const { leftOut, cost: { tokensPerSecond: best }, singleNode, byNodes } = planned;
  const unit = goal === "latency" ? "tokens/s of one sample" : "tokens/s";
  if (leftOut.length > 0) {
    const names = listed(leftOut.map((node) => nodes[node]!.name));
    const [one] = leftOut;
    const withThem = leftOut.length === 1 ? planned.withNode(one!) : byNodes.at(-1)!;
    const them = leftOut.length === 1 ? "it" : leftOut.length === 2 ? "both" : "all of them";
    const larger = Math.max(0, ...byNodes.slice(planned.order.length).map((each) => each ?? 0));
    const gain = (withThem ?? larger) < best * (1 - 1e-6) ? "" : ", which is no gain";
    if (withThem !== null) {
      return `Leave ${names} out: ${formatRate(withThem)} ${unit} with ${them}, ${
        formatRate(best)
      } without${gain}`;
    }
    if (larger > 0) {
      return `Leave ${names} out: at most ${formatRate(larger)} ${unit} with more nodes, ${
        formatRate(best)
      } without${gain}`;
    }
    const many = leftOut.length > 1;
    const why = planned.order.length === mostNodes(problem)
      ? `and at most ${planned.order.length} nodes can share ${layers(model.layers)}`
      : `which ${many ? "have" : "has"} no room for a layer`;
    return `Leave ${names} out: ${formatRate(best)} ${unit} without ${
      many ? "them" : "it"
    }, ${why}`;
  }
  if (planned.order.length === 1) return `Use ${nodes[0]!.name} alone: ${formatRate(best)} ${unit}`;
  const all = planned.order.length === 2 ? "both nodes" : `all ${planned.order.length} nodes`;
  if (!singleNode) {
    return `Use ${all}: ${
      formatRate(best)
    } ${unit}, and none could hold the model and all samples alone`;
  }
  // A node that is faster alone than any ring is told of below.
  if (singleNode.tokensPerSecond > best) return `Use ${all}: ${formatRate(best)} ${unit}`;
  const alone = `${formatRate(singleNode.tokensPerSecond)} on ${
    nodes[singleNode.node]!.name
  } alone`;
  return `Use ${all}: ${formatRate(best)} ${unit} against ${alone}`;
}

function pace(problem: PlanProblem, planned: PlannedRing): string {
  const { cost, order, rowsPerFrame } = planned;
  if (order.length === 1) return "";
  if (problem.goal === "latency") return "";
  if (cost.bottleneck.kind !== "samples") {
    const { kind } = cost.busiest;
    return `${kind === "link" ? "the link " : ""}${busiestName(planned)} sets the pace`;
  }
  const perToken = Math.max(...cost.occupancyMs, ...cost.linkOccupancyMs);
  const wanted = Math.ceil(cost.lapMs / perToken * (1 - 1e-9));
  const samples = samplesInFlight(problem);
  // With other rows a frame, laps are longer too.
  if (rowsPerFrame > 1 || wanted <= samples) return "more samples at once would give more";
  const gives = `would give ${formatRate(1000 / perToken)}`;
  if (wanted <= MAX_FRAME_ROWS && holds({ ...problem, samples: wanted }, planned)) {
    return `${wanted} samples at once instead of ${samples} ${gives}`;
  }
  return `${wanted} samples at once ${gives}, but there is no room for so many`;
}

/** Whether a plan's nodes have room for their layers with the problem's samples. */
function holds(problem: PlanProblem, { order, counts }: PlannedRing): boolean {
  return order.every((node, at) => roomFor(problem, node, at === 0) >= counts[at]!);
}

/** Replicas, where they give more: what, and at what cost. */
function copies(problem: PlanProblem, { replicas, cost, singleNode }: PlannedRing): string {
  if (!replicas || replicas.nodes.length < 2) {
    const node = singleNode && problem.nodes[singleNode.node]!;
    if (!node || singleNode.node === 0) return "";
    if (singleNode.tokensPerSecond < cost.tokensPerSecond * WORTH_A_WORD) return "";
    return `${node.name} alone, as the starter, would give ${
      formatRate(singleNode.tokensPerSecond)
    }`;
  }
  if (replicas.tokensPerSecond < cost.tokensPerSecond * WORTH_A_WORD) return "";
  const { model, samples, nodes } = problem;
  const bytes = replicas.samples.map((share) =>
    bytesBesideLayers(problem, true) +
    model.layers * bytesPerLayer({ ...problem, samples: Math.min(share, samples) })
  );
  const names = replicas.nodes.map((node) => nodes[node]!.name);
  const where = names.length === nodes.length && names.length > 2 ? "node" : `of ${listed(names)}`;
  return `a copy of the model on each ${where} would give ${
    formatRate(replicas.tokensPerSecond)
  } together, in up to ${formatBytes(Math.max(...bytes))} each`;
}

function layers(count: number): string {
  return count === 1 ? "1 layer" : `${count} layers`;
}

function listed(names: readonly string[]): string {
  if (names.length < 2) return names.join();
  const more = names.length - MOST_NAMES;
  if (more > 1) return `${names.slice(0, MOST_NAMES).join(", ")} and ${more} others`;
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

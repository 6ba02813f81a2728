/** What a plan comes to, in one sentence. */
import { formatBytes } from "../format_bytes.ts";
import type { PlannedRing } from "./planner.ts";
import type { PlanProblem } from "./problem.ts";
import { bytesBesideLayers, bytesPerLayer, samplesInFlight } from "./problem.ts";

/** Replicas that gain less than this share are not worth their memory. */
const WORTH_A_WORD = 1.01;

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

function who({ nodes, goal }: PlanProblem, planned: PlannedRing): string {
  const { leftOut, cost: { tokensPerSecond: best }, singleNode, byNodes } = planned;
  const unit = goal === "latency" ? "tokens/s of one sample" : "tokens/s";
  if (leftOut.length > 0) {
    const names = listed(leftOut.map((node) => nodes[node]!.name));
    const [one] = leftOut;
    const withThem = leftOut.length === 1 ? planned.withNode(one!) : byNodes.at(-1)!;
    const them = leftOut.length === 1 ? "it" : "all of them";
    if (withThem !== null) {
      const gain = withThem < best * (1 - 1e-6) ? "" : ", which is no gain";
      return `Leave ${names} out: ${rate(withThem)} ${unit} with ${them}, ${
        rate(best)
      } without${gain}`;
    }
    const larger = Math.max(0, ...byNodes.slice(planned.order.length).map((each) => each ?? 0));
    if (larger === 0) {
      return `Leave ${names} out: no room for a layer there, and ${rate(best)} ${unit} without`;
    }
    return `Leave ${names} out: at most ${rate(larger)} ${unit} with more nodes, ${
      rate(best)
    } without`;
  }
  if (planned.order.length === 1) return `Use ${nodes[0]!.name} alone: ${rate(best)} ${unit}`;
  const all = planned.order.length === 2 ? "both nodes" : `all ${planned.order.length} nodes`;
  if (!singleNode) return `Use ${all}: ${rate(best)} ${unit}, and none could hold the model alone`;
  const alone = `${rate(singleNode.tokensPerSecond)} on ${nodes[singleNode.node]!.name} alone`;
  return `Use ${all}: ${rate(best)} ${unit} against ${alone}`;
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
  return `${wanted} samples at once instead of ${samples} would give ${rate(1000 / perToken)}`;
}

/** Replicas, where they give more: what, and at what cost. */
function copies(problem: PlanProblem, { replicas, cost, singleNode }: PlannedRing): string {
  if (!replicas || replicas.nodes.length < 2) {
    const node = singleNode && problem.nodes[singleNode.node]!;
    if (!node || singleNode.node === 0) return "";
    if (singleNode.tokensPerSecond < cost.tokensPerSecond * WORTH_A_WORD) return "";
    return `${node.name} as a starter of its own would give ${rate(singleNode.tokensPerSecond)}`;
  }
  if (replicas.tokensPerSecond < cost.tokensPerSecond * WORTH_A_WORD) return "";
  const { model, samples, nodes } = problem;
  const bytes = replicas.samples.map((share) =>
    bytesBesideLayers(problem, true) +
    model.layers * bytesPerLayer({ ...problem, samples: Math.min(share, samples) })
  );
  const names = replicas.nodes.map((node) => nodes[node]!.name);
  return `a model of its own on each of ${listed(names)} would give ${
    rate(replicas.tokensPerSecond)
  } together, for up to ${formatBytes(Math.max(...bytes))} on each`;
}

function listed(names: readonly string[]): string {
  if (names.length < 2) return names.join();
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/** Tokens a second, with as many digits as tell. */
function rate(tokensPerSecond: number): string {
  return tokensPerSecond.toFixed(tokensPerSecond < 1 ? 3 : tokensPerSecond < 100 ? 1 : 0);
}

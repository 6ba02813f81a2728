/** A plan for people: who holds what, what each number of nodes would give, and what to do. */
import { formatBytes } from "../engine/format_bytes.ts";
import { formatRate } from "../engine/format_rate.ts";
import type { PlannedRing } from "../engine/plan/planner.ts";
import { mostNodes, type PlanProblem } from "../engine/plan/problem.ts";
import { planReport } from "../engine/plan/report.ts";
import { formatCount, formatLayers, formatShare, plural, renderTable } from "./table.ts";

/** Characters of the longest bar. */
const BAR = 24;

/** How a plan is shown. */
export interface PlanTextOptions {
  /** With bars, for a terminal. */
  bars: boolean;
}

/** The tables of a plan and its advice. */
export function planText(
  problem: PlanProblem,
  planned: PlannedRing,
  { bars }: PlanTextOptions,
): string {
  const report = planReport(problem, planned);
  const { samples, goal, rows_per_frame: rows } = report;
  const together = rows > 1 ? `, up to ${rows} rows a frame` : "";
  const what = goal === "latency" ? "the next token of one sample" : "all samples together";
  return [
    `${plural(problem.model.layers, "layer")}, ${
      plural(samples, "sample")
    } of ${report.context} tokens${together}: ` +
    `${formatRate(report.tokens_per_second)} tokens/s predicted, ${what}`,
    nodeTable(problem, planned, report),
    choiceTable(problem, planned, bars),
    `bottleneck: ${bottleneckText(report)}`,
    `advice: ${report.advice}`,
  ].join("\n\n");
}

function nodeTable(
  problem: PlanProblem,
  { order, cost, leftOut }: PlannedRing,
  { plan }: ReturnType<typeof planReport>,
): string {
  const rows = plan.map((node, at) => [
    at === 0 ? `${node.node} (starter)` : node.node,
    formatLayers(node.layers),
    milliseconds(node.stage_ms),
    formatShare(node.occupancy_ms * cost.tokensPerSecond / 1000),
    formatBytes(node.memory_bytes),
    formatBytes(problem.nodes[order[at]!]!.memoryBytes),
    node.kv_tokens === null ? "-" : `${formatCount(node.kv_tokens)} tokens`,
    order.length > 1 ? milliseconds(cost.linkMs[at]!) : "-",
  ]);
  for (const node of leftOut) {
    const { name, memoryBytes } = problem.nodes[node]!;
    rows.push([name, "left out", "-", "-", "-", formatBytes(memoryBytes), "-", "-"]);
  }
  const header = ["node", "layers", "ms/stage", "busy", "memory", "of", "KV capacity", "link ms"];
  return renderTable(header, rows);
}

/** What rings of each size, one node and replicas give. */
function choiceTable(problem: PlanProblem, planned: PlannedRing, bars: boolean): string {
  const { byNodes, order, singleNode, replicas } = planned;
  const choices: [string, number | null][] = byNodes.slice(0, mostNodes(problem)).map((each, i) => {
    const mark = i + 1 === order.length ? " (the plan)" : "";
    return [`ring of ${i + 1}${mark}`, each];
  });
  const name = (node: number) => problem.nodes[node]!.name;
  // The ring of one says it of the starter.
  if (singleNode && singleNode.node !== 0) {
    choices.push([`${name(singleNode.node)} alone`, singleNode.tokensPerSecond]);
  }
  if (problem.nodes.length > 1) {
    const on = replicas ? `, ${plural(replicas.nodes.length, "node")}` : "";
    choices.push([`replicas${on}`, replicas?.tokensPerSecond ?? null]);
  }
  const most = Math.max(...choices.map(([, each]) => each ?? 0));
  const rows = choices.map(([what, each]) => [
    what,
    each === null ? "-" : formatRate(each),
    ...(bars ? ["█".repeat(Math.round(BAR * (each ?? 0) / most))] : []),
  ]);
  const note = choices.some(([, each]) => each === null) ? "\n- : not enough memory" : "";
  return renderTable(["choice", "tokens/s", ...(bars ? [""] : [])], rows) + note;
}

function bottleneckText(
  { bottleneck, limited_by: by, lap_ms: lapMs }: ReturnType<typeof planReport>,
): string {
  if (by !== "samples") return `${by} ${bottleneck}`;
  return `too few samples at once: a token's way round takes ${
    milliseconds(lapMs)
  } ms; the busiest is ${bottleneck}`;
}

function milliseconds(ms: number): string {
  return ms.toFixed(ms < 1 ? 3 : ms < 100 ? 1 : 0);
}

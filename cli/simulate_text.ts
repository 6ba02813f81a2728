/** What a simulation came to: for people, for programs, and for the report. */
import { formatBytes } from "../engine/format_bytes.ts";
import { formatRate } from "../engine/format_rate.ts";
import type { RingCost } from "../engine/plan/cost.ts";
import type { PlanProblem } from "../engine/plan/problem.ts";
import type { SimulatedPlan, SimulateOptions, Simulation } from "../engine/plan/simulate.ts";
import type { Length } from "../engine/plan/workload.ts";
import type { ReportInput, ReportTable } from "./report/input.ts";
import { formatLayers, formatShare, plural, renderTable } from "./table.ts";

/** A simulation and what it was made from. */
export interface SimulatedRun extends Simulation {
  problem: PlanProblem;
  ring: SimulatedPlan & {
    readonly decodeFrames: number;
    /** What the plan predicts. */
    readonly cost: RingCost;
    /** Most tokens a second of rings of 1, 2, … nodes, where the ring is planned. */
    readonly byNodes?: readonly (number | null)[];
  };
  options: SimulateOptions;
  /** How long the simulation took in real ms. */
  tookMs: number;
}

/** The `{"type":"simulation"}` record. */
export function simulationRecord(run: SimulatedRun): Record<string, unknown> {
  const { problem, ring, options, timeline, totals, tookMs } = run;
  const { steady, timeToFirstTokenMs: wait } = totals;
  return {
    type: "simulation",
    samples: options.samples,
    slots: problem.samples,
    decode_frames: ring.decodeFrames,
    seed: (options.seed ?? 0n).toString(),
    tokens: totals.tokens,
    seconds: rounded(totals.ms / 1000),
    tokens_per_second: rounded(totals.tokensPerSecond),
    steady_tokens_per_second: steady && rounded(steady.tokensPerSecond),
    predicted_tokens_per_second: rounded(ring.cost.tokensPerSecond),
    time_to_first_token_ms: wait &&
      { median: rounded(wait.median), longest: rounded(wait.longest) },
    bottleneck: usedName(run),
    limited_by: totals.bottleneck.kind,
    nodes: timeline.nodes.map(({ name, layers, weightBytes, kvBytes }, i) => ({
      name,
      layers,
      busy_fraction: rounded(totals.nodes[i]!.busyFraction),
      weight_bytes: weightBytes,
      kv_bytes: kvBytes,
    })),
    links: timeline.links.map(({ from, to }, i) => ({
      from: timeline.nodes[from]!.name,
      to: timeline.nodes[to]!.name,
      busy_fraction: rounded(totals.links[i]!.busyFraction),
    })),
    left_out: leftOut(run),
    lost_samples: totals.lost.length,
    simulated_in_ms: rounded(tookMs),
  };
}

/** The tables of a simulation. */
export function simulationText(run: SimulatedRun): string {
  const { problem, options, ring, totals, tookMs } = run;
  const { header, rows } = nodesTable(run);
  const away = leftOut(run);
  return [
    `${plural(options.samples, "sample")} of ${
      lengthText(options.tokens)
    } tokens after prompts of ${lengthText(options.promptTokens)}, ${problem.samples} at once in ${
      plural(ring.decodeFrames, "frame")
    }`,
    renderTable(header, rows) +
    (away.length > 0 ? `\nleft out: ${away.join(", ")}` : ""),
    [
      ...facts(run).map(([name, value]) => `${name}: ${value}`),
      totals.tokens === 0
        ? "no sample had a token"
        : `${seconds(totals.ms)} simulated in ${(tookMs / 1000).toFixed(2)} s`,
    ].join("\n"),
  ].join("\n\n");
}

/** What the HTML report is made from. */
export function simulationReport(run: SimulatedRun): ReportInput {
  const { problem, options, ring, timeline } = run;
  const byNodes = ring.byNodes?.flatMap((predicted, i) =>
    predicted === null ? [] : [{ nodes: i + 1, predicted }]
  );
  return {
    title: `Simulated: ${plural(problem.model.layers, "layer")} on ${
      plural(timeline.nodes.length, "node")
    }`,
    subtitle: `${plural(options.samples, "sample")}, ${problem.samples} at once`,
    facts: facts(run),
    nodes: nodesTable(run),
    ...(byNodes && byNodes.length > 1 && { byNodes }),
    timeline,
  };
}

function facts(run: SimulatedRun): (readonly [string, string])[] {
  const { ring: { cost }, totals, options } = run;
  const { steady, timeToFirstTokenMs: wait, lost } = totals;
  const predicted = cost.tokensPerSecond;
  const list: [string, string][] = [];
  if (steady) {
    const off = 100 * (steady.tokensPerSecond / predicted - 1);
    list.push([
      "tokens/s",
      `${formatRate(steady.tokensPerSecond)} while the ring is full, ${
        formatRate(predicted)
      } predicted for answers alone (${off < 0 ? "" : "+"}${off.toFixed(1)} %)`,
    ]);
  } else list.push(["tokens/s", `${formatRate(predicted)} predicted for answers alone`]);
  list.push(["whole run", `${formatRate(totals.tokensPerSecond)} tokens/s`]);
  if (wait) {
    list.push([
      "first token",
      `after ${seconds(wait.median)} (median), ${seconds(wait.longest)} (longest)`,
    ]);
  }
  list.push(["bottleneck", bottleneckText(run)]);
  for (const { node, atMs } of options.deaths ?? []) {
    const { name } = run.problem.nodes[node]!;
    const place = run.ring.order.includes(node) ? "" : ", which is not in the ring";
    list.push(["died", `${name} after ${seconds(atMs)}${place}`]);
  }
  if (lost.length > 0) list.push(["lost", plural(lost.length, "sample")]);
  return list;
}

function nodesTable({ problem, ring, timeline, totals }: SimulatedRun): ReportTable {
  return {
    header: [
      "node",
      "layers",
      "busy",
      "idle",
      "predicted",
      "ms/frame",
      "weights",
      "KV",
      "link busy",
    ],
    rows: timeline.nodes.map(({ name, layers, weightBytes, kvBytes }, i) => {
      const { busyFraction } = totals.nodes[i]!;
      const link = totals.links[i];
      return [
        i === 0 ? `${name} (starter)` : name,
        formatLayers(layers),
        formatShare(busyFraction),
        formatShare(1 - busyFraction),
        formatShare(ring.cost.occupancyMs[i]! * ring.cost.tokensPerSecond / 1000),
        ring.cost.stageMs[i]!.toFixed(1),
        formatBytes(weightBytes),
        `${formatBytes(kvBytes)} of ${
          formatBytes(problem.nodes[ring.order[i]!]!.memoryBytes - weightBytes)
        }`,
        link ? formatShare(link.busyFraction) : "-",
      ];
    }),
  };
}

function leftOut({ problem: { nodes }, ring: { order } }: SimulatedRun): string[] {
  return nodes.filter((_, node) => !order.includes(node)).map(({ name }) => name);
}

/** The node or link that is used most. */
function usedName({ timeline: { nodes, links }, totals: { bottleneck } }: SimulatedRun): string {
  const { kind, index } = bottleneck;
  const link = links[index];
  return kind === "link" && link
    ? `${nodes[link.from]!.name} -> ${nodes[link.to]!.name}`
    : nodes[index]!.name;
}

function bottleneckText(run: SimulatedRun): string {
  const { kind } = run.totals.bottleneck;
  if (kind !== "samples") return `${kind} ${usedName(run)}`;
  return `none is busy nearly all the time; the busiest is ${usedName(run)}`;
}

function lengthText(length: Length): string {
  return typeof length === "number" ? `${length}` : `${length.min} to ${length.max}`;
}

function seconds(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function rounded(value: number): number {
  return Number(value.toPrecision(12));
}

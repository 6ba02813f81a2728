/** How long planning takes, by number of devices. Run: `deno task bench:plan`. */
import { type PlannedRing, planRing } from "../engine/plan/planner.ts";
import type { PlanProblem } from "../engine/plan/problem.ts";
import { renderTable } from "../cli/table.ts";
import { print } from "./report.ts";
import { median, quantile } from "./statistics.ts";

const LAYERS = 80;
const RUNS = 15;

/** Uneven devices, each other link slower; with times of more rows or one point each. */
function problemOf(nodes: number, samples: number, batches: boolean): PlanProblem {
  const times = (ms: number) =>
    batches
      ? { rows: [1, 2, 4, 8], ms: [ms, 1.3 * ms, 1.9 * ms, 3.2 * ms] }
      : { rows: [1], ms: [ms] };
  return {
    model: {
      layers: LAYERS,
      layerBytes: 2e6,
      kvBytesPerTokenLayer: 1536,
      embedBytes: 0,
      headBytes: 3e7,
      rowBytes: 2368,
    },
    nodes: Array.from({ length: nodes }, (_, i) => ({
      name: `n${i}`,
      memoryBytes: 4e9,
      layer: times(1 + (i * 7 % 5)),
      embed: times(0.1),
      head: times(4),
    })),
    link: (from, to) => ({
      rttMs: 0.3 + (from * 5 + to * 3) % 7,
      mbit: 50 + 100 * ((from + to) % 9),
    }),
    samples,
    context: 1024,
    goal: "throughput",
  };
}

const rows = [4, 8, 10, 16, 32].flatMap((nodes) =>
  [false, true].map((batches) => {
    const problem = problemOf(nodes, 4 * nodes, batches);
    let planned: PlannedRing | undefined;
    const times = Array.from({ length: RUNS }, () => {
      const from = performance.now();
      planned = planRing(problem);
      return performance.now() - from;
    });
    return [
      `${nodes}`,
      batches ? "4" : "1",
      median(times).toFixed(1),
      quantile(times, 0.9).toFixed(1),
      `${planned!.order.length}`,
      planned!.cost.tokensPerSecond.toFixed(1),
    ];
  })
);
await print(`${LAYERS} layers, 4 samples a node, ${RUNS} runs of each`);
await print(
  renderTable(["devices", "points each", "ms", "ms (p90)", "in the ring", "tokens/s"], rows),
);

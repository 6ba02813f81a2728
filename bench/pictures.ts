/**
 * The pictures of the README, as SVG in docs/: a ring of four unlike devices, planned and simulated. The same
 * bytes every time.
 *
 *     deno task docs:pictures [--check]
 */
import { nodesFigure } from "../cli/report/comparison_figures.ts";
import { type Figure, openDrawer } from "../cli/report/figure.ts";
import { pictureOf } from "../cli/report/picture.ts";
import type { Theme } from "../cli/report/theme.ts";
import { ganttFigure } from "../cli/report/busy_figures.ts";
import { planRing } from "../engine/plan/planner.ts";
import type { PlanDevice, PlanProblem } from "../engine/plan/problem.ts";
import { simulate } from "../engine/plan/simulate.ts";
import { steadyWindow, tokensPerSecond } from "../engine/plan/timeline.ts";
import { print } from "./report.ts";

const SAMPLES = 8;
const WORKLOAD = { samples: SAMPLES, promptTokens: 16, tokens: 96 };
/** The starter first; SmolLM2-135M's shape, times as such devices could have them. */
const DEVICES = [
  device("pi-5", 2.1, 5),
  device("laptop", 1.4, 3),
  device("pi-4-a", 4.6, 11),
  device("pi-4-b", 4.6, 11),
];

if (import.meta.main) Deno.exitCode = await main(Deno.args.includes("--check"));

async function main(check: boolean): Promise<number> {
  let stale = 0;
  for (const [name, text] of await pictures()) {
    const path = new URL(`../docs/${name}`, import.meta.url);
    const old = await Deno.readTextFile(path).catch(() => undefined);
    if (old === text) continue;
    stale++;
    if (!check) await Deno.writeTextFile(path, text);
    await print(`docs/${name}: ${check ? "is not what its figures give" : "written"}`);
  }
  return check && stale > 0 ? 1 : 0;
}

/** All pictures by their names in docs/. */
export async function pictures(): Promise<Map<string, string>> {
  const drawer = await openDrawer();
  const figures: [string, Figure][] = [["ring", ringFigure()], ["nodes", speedFigure()]];
  const found = new Map<string, string>();
  for (const [name, figure] of figures) {
    for (const theme of ["light", "dark"] satisfies Theme[]) {
      found.set(`${name}-${theme}.svg`, pictureOf(figure, theme, drawer));
    }
  }
  return found;
}

function ringFigure(): Figure {
  const problem = problemOf(DEVICES);
  return ganttFigure(simulate(problem, planRing(problem), WORKLOAD).timeline, "ring");
}

function speedFigure(): Figure {
  return nodesFigure(
    DEVICES.map((_, i) => {
      const problem = problemOf(DEVICES.slice(0, i + 1));
      const planned = planRing(problem);
      const { timeline } = simulate(problem, planned, WORKLOAD);
      return {
        nodes: i + 1,
        predicted: planned.cost.tokensPerSecond,
        simulated: tokensPerSecond(timeline, steadyWindow(timeline, SAMPLES)!),
      };
    }),
    "nodes",
  );
}

function problemOf(nodes: readonly PlanDevice[]): PlanProblem {
  return {
    model: {
      layers: 30,
      layerBytes: 2.2e6,
      kvBytesPerTokenLayer: 1536,
      embedBytes: 0,
      headBytes: 3e7,
      rowBytes: 2368,
    },
    nodes,
    link: () => ({ rttMs: 0.4, mbit: 940 }),
    samples: SAMPLES,
    context: 1024,
    goal: "throughput",
  };
}

function device(name: string, layerMs: number, headMs: number): PlanDevice {
  const ms = (value: number) => ({ rows: [1], ms: [value] });
  return { name, memoryBytes: 1e9, layer: ms(layerMs), embed: ms(0.1), head: ms(headMs) };
}

/**
 * The reference paper's experiment again, see `nano_llama.ts`: processes that stand for Jetson TX2 boards, at the
 * paper's splits and at mdi's own. Prints a table; keeps when each token came and each board's memory in
 * bench/results/paper.json.
 *
 *     deno task bench:paper [--tokens 800]
 *
 * Time is not scaled. Fewer tokens end sooner; rates are over the whole run, as the paper's are.
 */
import { parseArgs } from "node:util";
import type { PlanProblem } from "../engine/plan/problem.ts";
import { ringCost } from "../engine/plan/cost.ts";
import { planRing } from "../engine/plan/planner.ts";
import { planFromCounts } from "../engine/plan/plan.ts";
import type { Timeline } from "../engine/plan/timeline.ts";
import { layeredModel } from "../tests/support/layered_model.ts";
import { PacedRing } from "../tests/support/paced_ring.ts";
import type { RingRun } from "../tests/support/paced_starter.ts";
import * as nano from "./nano_llama.ts";
import { keep, print } from "./report.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: { tokens: { type: "string", default: `${nano.TOKENS}` } },
});
const tokens = Number(values.tokens);
const { SAMPLES, LAYERS } = nano;
/** The boards' Ethernet. */
const LINK = { rttMs: 0.4, mbit: 940 };
const BOARD_BYTES = 8e9;

/** One ring of the table. */
interface Row {
  split: string;
  tokensPerSecond: number;
  bound: number;
  published: number | null;
  /** Share of the run in which each board computed, once all samples had begun. */
  busyFractions: number[];
  timeline: Timeline;
}

await using model = await layeredModel(LAYERS);
const rows: Row[] = [];
for (const { layers, tokensPerSecond } of nano.PUBLISHED) {
  rows.push(await measure(layers, tokensPerSecond));
  const { counts } = planRing(problemOf(layers.length));
  // A plan that is as good may cut elsewhere; where it is the paper's there is nothing to run again.
  if (counts.join() !== layers.join()) rows.push(await measure(counts, null));
}
await print(table(rows));
await keep("paper", { samples: SAMPLES, tokens, device: nano.jetsonTx2(), link: LINK, rows });

function problemOf(boards: number): PlanProblem {
  const device = { ...nano.jetsonTx2(), memoryBytes: BOARD_BYTES };
  return {
    model: { layers: LAYERS, rowBytes: nano.ROW_BYTES, ...nano.MODEL_BYTES },
    nodes: Array.from({ length: boards }, (_, i) => ({ ...device, name: `tx2-${i + 1}` })),
    link: () => LINK,
    samples: SAMPLES,
    context: nano.TOKENS,
    goal: "throughput",
  };
}

async function measure(layers: readonly number[], published: number | null): Promise<Row> {
  const problem = problemOf(layers.length);
  const order = layers.map((_, i) => i);
  await using ring = await PacedRing.start({
    model: model.path,
    paces: layers.map(() => nano.jetsonTx2()),
    layers,
    slots: SAMPLES,
    decodeFrames: SAMPLES,
  });
  const run = await ring.run({ samples: SAMPLES, tokens });
  const ms = Math.max(...run.tokens.flat());
  return {
    split: layers.join("/"),
    tokensPerSecond: 1000 * SAMPLES * tokens / ms,
    bound: ringCost(problem, order, layers, 1).tokensPerSecond,
    published,
    busyFractions: run.steady?.busyFractions ?? [],
    timeline: timelineOf(run, layers, ms),
  };
}

/** What the run left: tokens as measured, memory as of the paper's model. */
function timelineOf(run: RingRun, layers: readonly number[], ms: number): Timeline {
  const names = layers.map((_, i) => `tx2-${i + 1}`);
  const tenth = (at: number) => Math.round(10 * at) / 10;
  return {
    kind: "measured",
    nodes: planFromCounts(names, layers).nodes.map((node, i) => ({
      ...node,
      busy: [],
      ...nano.memoryOf(layers[i]!, i === 0),
    })),
    links: [],
    samples: run.tokens.map((times, sample) => ({
      sample,
      promptTokens: 1,
      tokens: times.map(tenth),
      slot: { from: 0, to: tenth(times.at(-1)!) },
    })),
    ms: tenth(ms),
  };
}

function table(rows: readonly Row[]): string {
  const head =
    `${SAMPLES} samples of ${tokens} tokens, NanoLlama, emulated Jetson TX2, real time\n` +
    "split       tokens/s   of the bound   published   its share of the bound";
  const lines = rows.map(({ split, tokensPerSecond, bound, published }) =>
    [
      split.padEnd(10),
      tokensPerSecond.toFixed(1).padStart(10),
      `${percent(tokensPerSecond / bound)} of ${bound.toFixed(1)}`.padStart(15),
      (published?.toFixed(1) ?? "mdi's plan").padStart(12),
      (published ? percent(published / bound) : "").padStart(12),
    ].join("")
  );
  return [head, ...lines].join("\n");
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

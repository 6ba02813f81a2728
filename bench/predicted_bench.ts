// deno-lint-ignore-file no-console
/**
 * What the plan predicts against what comes of it: rings of one and of two nodes on this machine, one thread
 * each. In every round both nodes are measured at once, as a ring's start does, and the starter alone; then both
 * rings run the same samples.
 *
 *     deno run -A bench/predicted_bench.ts --model FILE [--samples 8] [--tokens 160] [--rounds 5] [--keep]
 *
 * Prints medians; `--keep` keeps the raw values in bench/results/predicted.json.
 */
import { parseArgs } from "node:util";
import { basename, join } from "node:path";
import { openRing, type Summary } from "../mod.ts";
import { type PeersPlan, planPeers } from "../rpc/plan_peers.ts";
import { predictRun } from "../rpc/predict_run.ts";
import { keep } from "./report.ts";
import { startSecondary } from "./ring_processes.ts";
import { median } from "./statistics.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    model: { type: "string" },
    samples: { type: "string", default: "8" },
    tokens: { type: "string", default: "160" },
    rounds: { type: "string", default: "5" },
    keep: { type: "boolean", default: false },
  },
});
if (!values.model) throw new TypeError("Give a model with --model FILE");
const { model } = values;
const samples = Number(values.samples);
const tokens = Number(values.tokens);
const rounds = Number(values.rounds);
/** Tokens of each prompt. */
const PROMPT = [1, 2, 3];

/** A run beside its predictions, in tokens/s and ms of computing for each token and node. */
interface Compared {
  layers: string;
  measured: number;
  measuredMs: number[];
  /** From profiles that were measured with all nodes at work, and with the starter alone at work. */
  together: number;
  togetherMs: number[];
  alone: number;
  aloneMs: number[];
}

const home = await Deno.makeTempDir({ prefix: "mdi-bench-" });
try {
  await using secondary = await startSecondary(join(home, "secondary"));
  const raw: { one: Compared; two: Compared; load: number }[] = [];
  for (let round = -1; round < rounds; round++) {
    const [load] = Deno.loadavg();
    const alone = await plan([]);
    const together = await plan([secondary.address]);
    const one = await run([], alone, together);
    const two = await run([secondary.address], alone, together);
    if (round < 0) continue; // packs and warms everything up
    raw.push({ one, two, load: load! });
    console.error(
      `round ${round + 1} of ${rounds}: ${line(one)}; ${line(two)} (load ${load!.toFixed(1)})`,
    );
  }
  for (const size of ["one", "two"] as const) report(size, raw.map((each) => each[size]));
  if (values.keep) await keep("predicted", { model: basename(model), samples, tokens, raw });
} finally {
  await Deno.remove(home, { recursive: true });
}

function plan(peers: string[]): Promise<PeersPlan> {
  return planPeers({
    ...{ home: join(home, "starter"), model, peers, samples, slots: samples, threads: 1 },
    again: true,
  });
}

async function run(peers: string[], alone: PeersPlan, together: PeersPlan): Promise<Compared> {
  const both = together.planned.order.length === 2 ? together.planned.counts.join() : "even"; // what the machine did meanwhile spoke against the second node
  await using ring = await openRing({
    ...{ home: join(home, "starter"), model, peers, samples, slots: samples, threads: 1 },
    ...(peers.length > 0 && { layers: both }),
  });
  await Promise.all(
    Array.from(
      { length: samples },
      () => ring.generate(PROMPT, { maxTokens: tokens, greedy: true, ignoreEos: true }).result,
    ),
  );
  const summary = await ring.summary();
  const order = peers.length > 0 ? [0, 1] : [0];
  const counts = ring.plan.nodes.map(({ layers }) => layers ? layers[1] - layers[0] + 1 : 0);
  const predict = (profiles: PeersPlan["nodes"]) =>
    predictRun({
      problem: together.problem,
      planned: { order, counts },
      profiles: profiles.map(({ profile }) => profile),
    }, load(summary, order.length));
  const inParallel = predict(together.nodes);
  // The nodes are equal: what the starter does alone, the other one would do alone.
  const [own] = alone.nodes;
  const bySelf = predict([own!, own!]);
  return {
    layers: counts.join(),
    measured: summary.tokensPerSecond,
    measuredMs: summary.nodes.map(({ computeMsPerToken }) => computeMsPerToken),
    together: inParallel.tokensPerSecond,
    togetherMs: inParallel.msPerToken,
    alone: bySelf.tokensPerSecond,
    aloneMs: bySelf.msPerToken,
  };
}

function load(summary: Summary, nodes: number) {
  return {
    tokens: summary.tokens,
    promptTokens: samples * PROMPT.length,
    samples,
    inFlight: samples,
    decodeFrames: nodes,
  };
}

function line({ layers, measured, together, alone }: Compared): string {
  const of = (predicted: number) =>
    `${predicted.toFixed(1)} (${(100 * measured / predicted - 100).toFixed(0)} %)`;
  return `${layers}: measured ${measured.toFixed(1)}, predicted ${of(together)}, alone ${
    of(alone)
  }`;
}

function report(size: string, runs: readonly Compared[]): void {
  const share = (pick: (run: Compared) => number) => (100 * median(runs.map(pick))).toFixed(1);
  console.log(
    `${size}: measured over predicted, medians: ${share((run) => run.measured / run.together)} % ` +
      `measured together, ${share((run) => run.measured / run.alone)} % one alone; ` +
      runs[0]!.measuredMs.map((_, i) =>
        `node ${i}: ${share((run) => run.measuredMs[i]! / run.togetherMs[i]!)} % and ${
          share((run) => run.measuredMs[i]! / run.aloneMs[i]!)
        } % of its ms/token`
      ).join(", "),
  );
}

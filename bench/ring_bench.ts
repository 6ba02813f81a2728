// deno-lint-ignore-file no-console
/**
 * What a second node gains: tokens/s of a ring of two against one node, and against what two
 * independent processes of one node each gain that share the same samples, on the same cores, interleaved.
 *
 *     deno run -A bench/ring_bench.ts --model FILE [--layers 10,20] [--samples 4] [--tokens 24]
 *         [--rounds 5] [--out FILE]
 *
 * Every node has one thread. Prints medians and the time of a token; `--out` keeps the raw figures.
 */
import { parseArgs } from "node:util";
import { basename, join } from "node:path";
import type { RunFigures } from "./_ring_process.ts";
import { type Runner, startRunner, startSecondary } from "./ring_processes.ts";
import { median } from "./statistics.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    model: { type: "string" },
    layers: { type: "string" },
    samples: { type: "string", default: "4" },
    tokens: { type: "string", default: "24" },
    rounds: { type: "string", default: "5" },
    out: { type: "string" },
  },
});
if (!values.model) throw new TypeError("Give a model with --model FILE");
const { model } = values;
const samples = Number(values.samples);
const tokens = Number(values.tokens);
const rounds = Number(values.rounds);

const dir = await Deno.makeTempDir({ prefix: "mdi-bench-" });
try {
  const common = { model, tokens, peers: [] };
  await using one = await startRunner({ ...common, home: join(dir, "one") });
  await using other = await startRunner({ ...common, home: join(dir, "one") });
  await using secondary = await startSecondary(join(dir, "secondary"));
  await using two = await startRunner({
    ...common,
    home: join(dir, "one"),
    peers: [secondary.address],
    ...(values.layers ? { layers: values.layers } : {}),
  });
  const raw: { one: RunFigures; two: RunFigures; independent: number }[] = [];
  for (let round = -1; round < rounds; round++) {
    const alone = await one.run(samples);
    const ring = await two.run(samples);
    const independent = await share(one, other);
    if (round < 0) continue; // warms everything up
    raw.push({ one: alone, two: ring, independent });
    console.error(
      `round ${round + 1} of ${rounds}: one ${alone.tokensPerSecond.toFixed(1)}, two ${
        ring.tokensPerSecond.toFixed(1)
      }, two independent ${independent.toFixed(1)} tokens/s`,
    );
  }
  report(raw);
  if (values.out) {
    await Deno.writeTextFile(
      values.out,
      JSON.stringify({ model: basename(model), samples, tokens, rounds: raw }, null, 1),
    );
  }
} finally {
  await Deno.remove(dir, { recursive: true });
}

/** Tokens/s of two processes that each run a half of the samples. */
async function share(one: Runner, other: Runner): Promise<number> {
  const half = Math.ceil(samples / 2);
  if (half === samples) return (await one.run(samples)).tokensPerSecond;
  const both = await Promise.all([one.run(half), other.run(samples - half)]);
  return both.reduce((sum, each) => sum + each.tokensPerSecond, 0);
}

function report(raw: readonly { one: RunFigures; two: RunFigures; independent: number }[]): void {
  const gain = median(raw.map(({ one, two }) => two.tokensPerSecond / one.tokensPerSecond));
  const bound = median(raw.map(({ one, independent }) => independent / one.tokensPerSecond));
  // A token of one sample passes both links once.
  const hop = median(
    raw.map(({ one, two }) => 500 * samples * (1 / two.tokensPerSecond - 1 / one.tokensPerSecond)),
  );
  const of = (pick: (figures: RunFigures) => number) => median(raw.map(({ two }) => pick(two)));
  const latency = of(({ tokensPerSecond }) => 1000 * samples / tokensPerSecond);
  const compute = raw[0]!.two.compute.map((_, i) => of((figures) => figures.compute[i]!));
  const codec = of((figures) => figures.codec);
  const sampling = of((figures) => figures.sampling);
  const wire = of((figures) => figures.wire);
  const wait = latency - compute.reduce((sum, ms) => sum + ms, 0) - codec - sampling - wire;
  const ms = (value: number) => `${value.toFixed(2)} ms`;
  console.log(`${samples} samples of ${tokens} tokens, ${raw.length} rounds, medians
two nodes (layers ${raw[0]!.two.layers}) against one: ${gain.toFixed(2)} times
two independent processes against one: ${bound.toFixed(2)} times; the ring has ${
    (gain / bound).toFixed(2)
  } of that
a token of the ring takes ${ms(latency)}: compute ${
    compute.map((each) => each.toFixed(2)).join(" + ")
  } ms, sampling ${ms(sampling)}, encode and decode ${ms(codec)}, wire ${ms(wire)}, wait ${ms(wait)}
${Math.round(of((figures) => figures.bytes))} bytes sent per token`);
  if (samples === 1) console.log(`a hop adds ${ms(hop)} to each token of one node`);
}

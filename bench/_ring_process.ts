// deno-lint-ignore-file no-console
/**
 * One process of `ring_bench.ts`: loads a ring as told by its argument, says "ready", and for each line
 * on standard input runs as many samples as it says and prints the figures as a JSON line.
 */
import { openRing, type Ring, type Summary } from "../mod.ts";

/** How a run goes. */
export interface RunOptions {
  model: string;
  home: string;
  peers: string[];
  layers?: string;
  tokens: number;
}

/** What one run came to; times are per generated token, in ms. */
export interface RunFigures {
  tokensPerSecond: number;
  layers: string;
  compute: number[];
  codec: number;
  sampling: number;
  /** Round trips between neighbours, halved and added up: a token passes each link once. */
  wire: number;
  /** Bytes sent by all nodes. */
  bytes: number;
}

if (import.meta.main) await serve(JSON.parse(Deno.args[0]!) as RunOptions);

async function serve(options: RunOptions): Promise<void> {
  const { model, home, peers, layers } = options;
  await using ring = await openRing({
    model,
    home,
    peers,
    threads: 1,
    layers: layers ?? "even",
  });
  console.log("ready");
  for await (const line of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    console.log(JSON.stringify(await run(ring, Number(line), options.tokens)));
  }
}

async function run(ring: Ring, samples: number, tokens: number): Promise<RunFigures> {
  const before = await ring.summary();
  const start = performance.now();
  const generations = Array.from(
    { length: samples },
    (_, i) => ring.generate([1 + i, 2, 3], { greedy: true, maxTokens: tokens, ignoreEos: true }),
  );
  await Promise.all(generations.map((generation) => generation.result));
  const seconds = (performance.now() - start) / 1000;
  const after = await ring.summary();
  const generated = after.tokens - before.tokens;
  const total = (summary: Summary, key: "codecMsPerToken" | "samplingMsPerToken") =>
    summary.nodes.reduce((sum, node) => sum + node[key] * summary.tokens, 0);
  const roundTrips = after.nodes.slice(1).map((node) => node.roundTripMs);
  return {
    tokensPerSecond: generated / seconds,
    layers: after.nodes.map(({ layers }) => layers ? layers[1] - layers[0] + 1 : 0).join(","),
    compute: after.nodes.map((node, i) =>
      (node.computeMsPerToken * after.tokens -
        before.nodes[i]!.computeMsPerToken * before.tokens) / generated
    ),
    codec: (total(after, "codecMsPerToken") - total(before, "codecMsPerToken")) / generated,
    sampling: (total(after, "samplingMsPerToken") - total(before, "samplingMsPerToken")) /
      generated,
    wire: roundTrips.length === 0 ? 0 : (roundTrips.length + 1) * Math.max(...roundTrips) / 2,
    bytes: after.nodes.reduce((sum, node) => sum + node.bytesSentPerToken, 0),
  };
}

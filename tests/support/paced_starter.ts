// deno-lint-ignore-file no-console
/**
 * A starter as a process of its own: opens the ring that its argument tells, says "ready", and for each
 * line on standard input, a {@linkcode Workload}, prints a {@linkcode RingRun} as a line.
 */
import { openRing, type Ring, type RingOptions } from "../../mod.ts";

/** What is to be generated at once: greedy, to the end whatever the tokens are. */
export interface Workload {
  samples: number;
  /** Tokens of each. */
  tokens: number;
}

/** What came of it. */
export interface RingRun {
  /** When each token of each sample was there, in ms from the start. */
  tokens: number[][];
  /**
   * The part in which every sample had drawn a token and none was near its end; each node's compute time at
   * both ends. Null where there was no such part.
   */
  steady: { from: number; to: number; busyFractions: number[] } | null;
  /** Resident memory of each node's process, in bytes. */
  rssBytes: number[];
}

/** Tokens at the end of a sample that are not looked at. */
const LAST = 2;

if (import.meta.main) await serve(JSON.parse(Deno.args[0]!) as RingOptions);

async function serve(options: RingOptions): Promise<void> {
  await using ring = await openRing({
    ...options,
    onEvent: ({ type, message }) => {
      if (type === "note" || type === "plan") console.error(message);
    },
  });
  console.log("ready");
  let rest = "";
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) console.log(JSON.stringify(await run(ring, JSON.parse(line))));
  }
}

async function run(ring: Ring, { samples, tokens }: Workload): Promise<RingRun> {
  const start = performance.now();
  const times: number[][] = Array.from({ length: samples }, () => []);
  const begun = Promise.withResolvers<void>();
  const ending = Promise.withResolvers<void>();
  const generations = times.map(async (own, i) => {
    const prompt = [1 + i % 256];
    const options = { greedy: true, maxTokens: tokens, ignoreEos: true };
    for await (const _ of ring.generate(prompt, options)) {
      own.push(performance.now() - start);
      if (times.every((each) => each.length >= 2)) begun.resolve();
      if (own.length === tokens - LAST) ending.resolve();
    }
  });
  const steady = busyFractions(ring, start, begun.promise, ending.promise);
  await Promise.all(generations);
  // Without samples that were all under way at once there is no steady part.
  begun.reject(new Error("never steady"));
  ending.resolve();
  const { nodes } = await ring.summary();
  return {
    tokens: times,
    steady: await steady.catch(() => null),
    rssBytes: nodes.map((node) => node.rssBytes),
  };
}

/** Which part of the time between two moments each node computed. */
async function busyFractions(
  ring: Ring,
  start: number,
  begun: Promise<void>,
  ending: Promise<void>,
): Promise<RingRun["steady"]> {
  await begun;
  const from = performance.now() - start;
  const before = await computeMs(ring);
  await ending;
  const to = performance.now() - start;
  const after = await computeMs(ring);
  if (to <= from) return null;
  return { from, to, busyFractions: after.map((ms, i) => (ms - before[i]!) / (to - from)) };
}

async function computeMs(ring: Ring): Promise<number[]> {
  const { nodes, tokens } = await ring.summary();
  return nodes.map((node) => node.computeMsPerToken * Math.max(1, tokens));
}

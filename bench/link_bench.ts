/**
 * What a frame of one row of 576 values costs between two processes: its round trip, and the CPU time of
 * a hop, both ends together, which has to stay below 0.4 ms.
 *
 *     deno task bench:link
 */
import { echoLink, type LinkCost, measureLink, type Security } from "./measure_link.ts";
import { keep, print } from "./report.ts";
import { quantile } from "./statistics.ts";

const ROUNDS = 3;
const RUNS = [{ count: 1500, pauseMs: 0 }, { count: 500, pauseMs: 4 }];

if (Deno.args[0] === "peer") await echoLink(Number(Deno.args[1]), Deno.args[2] as Security);
else await main();

async function main(): Promise<void> {
  const costs: LinkCost[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const security of ["h2c", "tls"] as const) {
      for (const cost of await measureLink(import.meta.filename!, security, RUNS)) {
        costs.push(cost);
        await print(describe(cost));
      }
    }
  }
  await keep("link", costs);
}

function describe({ security, pauseMs, roundTripMs, cpuMsPerHop, encodeMsPerFrame }: LinkCost) {
  const mode = pauseMs === 0 ? "busy " : "paced";
  const p = (share: number) => quantile(roundTripMs, share).toFixed(3);
  return `${security} ${mode}: round trip p50 ${p(0.5)} ms, p99 ${p(0.99)} ms; ` +
    `encode ${encodeMsPerFrame.toFixed(3)} ms; CPU a hop ${cpuMsPerHop.toFixed(3)} ms`;
}

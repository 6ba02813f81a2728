/**
 * Rings over slow links: tokens a second by the number of samples in flight, measured with processes that stand
 * for devices of 30 ms a stage and a proxy that stands for the network, beside simulator and cost model.
 *
 *     deno run -A bench/links_bench.ts [--nodes 2] [--samples 1,2,4,8] [--seconds 4]
 *
 * Raw values: bench/results/links.json.
 */
import { parseArgs } from "node:util";
import { layeredModel } from "../tests/support/layered_model.ts";
import { type CurvePoint, lossy, measureCurve } from "../tests/support/link_curve.ts";
import type { ProxiedLink } from "../tests/support/tcp_proxy.ts";
import { keep, print } from "./report.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    nodes: { type: "string", default: "2" },
    samples: { type: "string", default: "1,2,4,8" },
    seconds: { type: "string", default: "4" },
  },
});
const nodes = Number(values.nodes);
const samples = values.samples.split(",").map(Number);
const seconds = Number(values.seconds);
const STAGE_MS = 30;
/** Losses are rare: one in a hundred packets, which is a few frames a second. */
const LOSSY_TIMES = 5;

const links: ProxiedLink[] = [
  ...[100, 20].flatMap((mbit) => [0.2, 1, 5, 20].map((rttMs) => ({ rttMs, mbit }))),
  ...[1, 20].map((rttMs) => lossy({ rttMs, mbit: 100 }, 0.01)),
];
/** Tokens of each sample for about as many seconds, and those that are not looked at. */
const tokensFor = (link: ProxiedLink) => (each: number) => {
  const perSecond = Math.min(each / nodes, 1) * 1000 / STAGE_MS;
  return 4 + Math.ceil(seconds * (link.loss ? LOSSY_TIMES : 1) * perSecond / each);
};

await using model = await layeredModel(nodes);
const curves: { link: ProxiedLink; points: CurvePoint[] }[] = [];
for (const link of links) {
  const ring = { nodes, stageMs: STAGE_MS, link, model: model.path };
  const points = await measureCurve(ring, samples, tokensFor(link));
  curves.push({ link, points });
  const loss = link.loss ? `, ${100 * link.loss} % loss` : "";
  await print(`\n${link.rttMs} ms round trip, ${link.mbit} Mbit/s${loss}`);
  for (const { samples, measured, simulated, predicted } of points) {
    await print(
      `${samples} samples: ${measured.toFixed(2)} tokens/s, simulated ${simulated.toFixed(2)} (${
        percent(simulated / measured - 1)
      }), cost model ${predicted.toFixed(2)}`,
    );
  }
}
await keep("links", { nodes, stageMs: STAGE_MS, curves });

function percent(share: number): string {
  return `${share < 0 ? "" : "+"}${(100 * share).toFixed(1)} %`;
}

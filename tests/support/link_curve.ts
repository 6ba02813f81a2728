/** Paced rings over slow links, beside what the simulator says of them. */
import { ringCost } from "../../engine/plan/cost.ts";
import { simulate } from "../../engine/plan/simulate.ts";
import { steadyWindow, tokensPerSecond } from "../../engine/plan/timeline.ts";
import { device, pacedProblem } from "./paced_devices.ts";
import { PacedRing, steadyTokensPerSecond } from "./paced_ring.ts";
import type { ProxiedLink } from "./tcp_proxy.ts";

/** Equal devices, one layer each, and the links between them. */
export interface LinkedRing {
  nodes: number;
  /** What a stage takes for a row. */
  stageMs: number;
  link: ProxiedLink;
  model: string;
}

/** One number of samples in flight; figures are tokens a second. */
export interface CurvePoint {
  samples: number;
  measured: number;
  simulated: number;
  /** What the cost model says, which knows no loss. */
  predicted: number;
}

/** Linux's smallest time-out of a retransmission beyond the round trip, which a lone packet waits for. */
const TIMEOUT_MS = 200;

/** A link that loses packets, as TCP shows it where frames fit into one packet. */
export function lossy(link: { rttMs: number; mbit: number }, loss: number): ProxiedLink {
  return { ...link, loss, stallMs: link.rttMs + TIMEOUT_MS };
}

/**
 * Measures a ring at some numbers of samples, with as many frames as nodes.
 * @param tokens of each sample, by the number of samples.
 */
export async function measureCurve(
  ring: LinkedRing,
  samples: readonly number[],
  tokens: (samples: number) => number,
): Promise<CurvePoint[]> {
  const { nodes, stageMs, link, model } = ring;
  const paces = Array.from({ length: nodes }, () => device(stageMs));
  await using running = await PacedRing.start({
    model,
    paces,
    layers: paces.map(() => 1),
    slots: Math.max(...samples),
    link,
  });
  const points: CurvePoint[] = [];
  for (const each of samples) {
    const run = await running.run({ samples: each, tokens: tokens(each) });
    points.push({
      samples: each,
      measured: steadyTokensPerSecond(run),
      ...modelled(ring, each, tokens(each)),
    });
  }
  return points;
}

/** What simulator and cost model say of one number of samples. */
export function modelled(
  { nodes, stageMs, link }: Omit<LinkedRing, "model">,
  samples: number,
  tokens: number,
): { simulated: number; predicted: number } {
  const paces = Array.from({ length: nodes }, () => device(stageMs));
  const problem = pacedProblem(paces, { layers: nodes, samples, link });
  const order = paces.map((_, i) => i);
  const counts = paces.map(() => 1);
  const { timeline } = simulate(problem, { order, counts }, {
    samples,
    promptTokens: 1,
    // Losses are rare: the more tokens, the surer the mean.
    tokens: link.loss ? 50 * tokens : tokens,
    loss: link.loss ?? 0,
    ...(link.stallMs !== undefined && { stallMs: link.stallMs }),
    record: false,
  });
  return {
    simulated: tokensPerSecond(timeline, steadyWindow(timeline, samples)!),
    predicted: ringCost(problem, order, counts, Math.ceil(samples / nodes)).tokensPerSecond,
  };
}

/** What devices give without a ring: the fastest by itself, or all that can with a copy of the model each. */
import { ringCost, rowChoices } from "./cost.ts";
import { type PlanProblem, roomFor, samplesInFlight } from "./problem.ts";

/** A device that does all by itself. */
export interface SingleNode {
  /** Its index in the problem's nodes. */
  readonly node: number;
  /** Tokens a second that it gives. */
  readonly tokensPerSecond: number;
}

/** Independent copies of the model. */
export interface Replicas {
  /** Tokens a second of all of them together. */
  readonly tokensPerSecond: number;
  /** Indexes of the nodes that have one. */
  readonly nodes: readonly number[];
  /** Samples that each of them has, in that order. */
  readonly samples: readonly number[];
}

/** The fastest device that holds the model and all samples' caches, as if it were the starter; null if none does. */
export function oneNodeAlone(problem: PlanProblem): SingleNode | null {
  let best: SingleNode | null = null;
  problem.nodes.forEach((_, node) => {
    if (!holdsAll(problem, node, problem.samples)) return;
    const tokensPerSecond = aloneTokensPerSecond(problem, node, samplesInFlight(problem));
    if (tokensPerSecond > (best?.tokensPerSecond ?? 0)) best = { node, tokensPerSecond };
  });
  return best;
}

/**
 * A copy on every device that can hold the model and its samples' caches. Each gets one sample, the fastest
 * first, then each further one goes where it makes the least work for the device's speed. Null where they cannot
 * hold all samples.
 */
export function independentReplicas(problem: PlanProblem): Replicas | null {
  const { nodes } = problem;
  const inFlight = samplesInFlight(problem);
  const holders = nodes.flatMap((_, node) => {
    if (!holdsAll(problem, node, 1)) return [];
    return [{ node, ms: 1000 / aloneTokensPerSecond(problem, node, 1), samples: 0 }];
  });
  for (let dealt = 0; dealt < inFlight; dealt++) {
    let next: typeof holders[number] | undefined;
    for (const holder of holders) {
      if (!holdsAll(problem, holder.node, holder.samples + 1)) continue;
      if (!next || load(holder) < load(next)) next = holder;
    }
    if (!next) return null;
    next.samples++;
  }
  const used = holders.filter(({ samples }) => samples > 0);
  return {
    tokensPerSecond: used.reduce(
      (sum, { node, samples }) => sum + aloneTokensPerSecond(problem, node, samples),
      0,
    ),
    nodes: used.map(({ node }) => node),
    samples: used.map(({ samples }) => samples),
  };
}

/** What another sample would come to; one that has none is before all that have some. */
function load({ ms, samples }: { ms: number; samples: number }): number {
  return samples === 0 ? ms * 1e-9 : ms * (samples + 1);
}

function holdsAll(problem: PlanProblem, node: number, samples: number): boolean {
  return roomFor({ ...problem, samples }, node, true) >= problem.model.layers;
}

/** Most tokens a second of one device with so many samples, over the rows that a frame may have. */
function aloneTokensPerSecond(problem: PlanProblem, node: number, samples: number): number {
  const alone: PlanProblem = { ...problem, nodes: [problem.nodes[node]!], samples };
  const each = rowChoices(samples).map((rows) =>
    ringCost(alone, [0], [problem.model.layers], rows).tokensPerSecond
  );
  return Math.max(...each);
}

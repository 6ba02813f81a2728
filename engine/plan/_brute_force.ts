/** All plans of a small problem, one after another: what the planner's answers are compared with. */
import { ringCost, rowChoices } from "./cost.ts";
import { bytesBesideLayers, bytesPerLayer, type PlanProblem, samplesInFlight } from "./problem.ts";

/** One ring of a problem. */
export interface TriedRing {
  order: number[];
  counts: number[];
  rows: number;
}

/** Every subset in every order with every split and number of rows that fits the memory. */
export function* allRings(problem: PlanProblem): Generator<TriedRing> {
  for (const order of orders([0], problem.nodes.length)) {
    for (const counts of splits(problem.model.layers, order.length)) {
      if (!fits(problem, order, counts)) continue;
      for (const rows of rowChoices(samplesInFlight(problem))) yield { order, counts, rows };
    }
  }
}

/** Most tokens a second by number of nodes; null where memory does not allow as many. */
export function bestBySize(problem: PlanProblem): (number | null)[] {
  const best: (number | null)[] = problem.nodes.map(() => null);
  for (const { order, counts, rows } of allRings(problem)) {
    const { tokensPerSecond } = ringCost(problem, order, counts, rows);
    const at = order.length - 1;
    best[at] = Math.max(best[at] ?? 0, tokensPerSecond);
  }
  return best;
}

/** Most tokens a second of all rings that contain a node. */
export function bestWith(problem: PlanProblem, node: number): number | null {
  let best: number | null = null;
  for (const { order, counts, rows } of allRings(problem)) {
    if (!order.includes(node)) continue;
    best = Math.max(best ?? 0, ringCost(problem, order, counts, rows).tokensPerSecond);
  }
  return best;
}

function* orders(begun: number[], nodes: number): Generator<number[]> {
  yield begun;
  for (let node = 1; node < nodes; node++) {
    if (!begun.includes(node)) yield* orders([...begun, node], nodes);
  }
}

function* splits(layers: number, stages: number, at = 0): Generator<number[]> {
  const least = at === 0 ? 0 : 1;
  if (stages - at === 1) {
    if (layers >= least) yield [layers];
    return;
  }
  for (let count = least; count <= layers; count++) {
    for (const rest of splits(layers - count, stages, at + 1)) yield [count, ...rest];
  }
}

function fits(problem: PlanProblem, order: readonly number[], counts: readonly number[]): boolean {
  return order.every((node, at) =>
    bytesBesideLayers(problem, at === 0) + counts[at]! * bytesPerLayer(problem) <=
      problem.nodes[node]!.memoryBytes
  );
}

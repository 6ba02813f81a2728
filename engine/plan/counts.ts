/** How many layers each stage of a ring gets. All lists are by the stage's index; 0 is the starter. */

/** What stages take and can hold. */
export interface StageLimits {
  /** Milliseconds of a layer. */
  readonly layerMs: readonly number[];
  /** Milliseconds beside the layers. */
  readonly besideMs: readonly number[];
  /** Layers at most. */
  readonly most: readonly number[];
}

/** Layers that a stage must have: a secondary without any has no place in the ring. */
export function leastLayers(stage: number): number {
  return stage === 0 ? 0 : 1;
}

/**
 * The least sum of all stages' times: the fastest get all layers that they can take.
 * Returns its milliseconds, Infinity where the stages cannot take so many layers.
 *
 * @param bySpeed The stages, fastest layer first.
 * @param counts Where to put the layers of each stage, if they are wanted.
 */
export function fastestCounts(
  { layerMs, besideMs, most }: StageLimits,
  bySpeed: readonly number[],
  layers: number,
  counts?: number[],
): number {
  let left = layers;
  for (const stage of bySpeed) left -= leastLayers(stage);
  let ms = 0;
  for (const stage of bySpeed) {
    const least = leastLayers(stage);
    const more = Math.min(left, most[stage]! - least);
    if (more < 0) return Infinity;
    left -= more;
    ms += besideMs[stage]! + (least + more) * layerMs[stage]!;
    if (counts) counts[stage] = least + more;
  }
  return left === 0 ? ms : Infinity;
}

/**
 * Layers for each stage so that the slowest is as fast as it can be, then the second slowest, and so on: each
 * layer goes where the time with it is least, a tie to the first secondary. The starter keeps the time of one layer
 * free where the others can take it: it samples and schedules besides, which no stage's time has. The layers of a
 * stage are alike, so that greedy order is exact.
 *
 * @param order The stages in the ring's order. They must be able to take `layers`.
 * @param counts Where to put the layers of each stage.
 */
export function balancedCounts(
  { layerMs, besideMs, most }: StageLimits,
  order: readonly number[],
  layers: number,
  counts: number[],
): void {
  let left = layers;
  for (const stage of order) left -= counts[stage] = leastLayers(stage);
  const turns = [...order.slice(1), ...order.slice(0, 1)];
  for (; left > 0; left--) {
    let best = -1;
    let bestMs = Infinity;
    for (const stage of turns) {
      if (counts[stage]! >= most[stage]!) continue;
      const ms = besideMs[stage]! + (stage === 0 ? layerMs[stage]! : 0) +
        (counts[stage]! + 1) * layerMs[stage]!;
      if (ms >= bestMs) continue;
      best = stage;
      bestMs = ms;
    }
    counts[best]!++;
  }
}

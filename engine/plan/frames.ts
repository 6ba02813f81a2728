/**
 * Into how many frames the samples of a ring are best put.
 *
 * Few frames have many rows, and a device reads its weights once for all of them; but each node then waits for
 * a lap of longer stages. As many frames as samples hide slow links best, and gain nothing from batches. The
 * cost model knows both, so the best number is found by trying each that differs: ⌈S/F⌉ takes at most 2√S
 * values. frames_test.ts holds the choice against simulations of every number of frames.
 */
import { type RingCost, ringCost, rowChoices, shareFrames } from "./cost.ts";
import { type PlanProblem, samplesInFlight } from "./problem.ts";

/** How many frames, and what they give. */
export interface FrameChoice {
  /** For the scheduler. */
  readonly decodeFrames: number;
  /** Rows of the longest frame. */
  readonly rowsPerFrame: number;
  /** The ring's prediction with them. */
  readonly cost: RingCost;
}

/** What is to be gained at least before samples are put together in fewer, longer frames. */
const GAIN = 1 + 1e-9;

/**
 * The number of frames for given layers: that with the most tokens a second, and of equals the one with
 * the shortest frames.
 *
 * @param order Indexes of the problem's nodes in the ring's order, its starter first.
 * @param counts Layers of each, in that order.
 */
export function chooseFrames(
  problem: PlanProblem,
  order: readonly number[],
  counts: readonly number[],
): FrameChoice {
  const samples = samplesInFlight(problem);
  let best: FrameChoice | undefined;
  for (const rows of rowChoices(samples)) {
    const cost = ringCost(problem, order, counts, rows);
    if (best && cost.tokensPerSecond <= best.cost.tokensPerSecond * GAIN) continue;
    best = { decodeFrames: shareFrames(samples, rows).frames, rowsPerFrame: rows, cost };
  }
  return best!;
}

/** What a plan would have said of a run, had it known the run's samples and their lengths. Pure. */
import { type RowTimes, timeOf } from "../wasm/row_times.ts";
import { ringCost, shareFrames, timePerToken } from "../engine/plan/cost.ts";
import { CHUNK_ROWS } from "../engine/ring/message.ts";
import type { PlanBasis } from "./choose_plan.ts";
import { layerTimes, withLoad } from "./plan_problem.ts";

/** A run as far as its speed depends on it. */
export interface RunLoad {
  /** Generated tokens. */
  tokens: number;
  /** Tokens of all prompts. */
  promptTokens: number;
  /** Samples that entered. */
  samples: number;
  /** Samples under way, on average. */
  inFlight: number;
  /** Frames that decoding samples were spread over. */
  decodeFrames: number;
}

/** Of a {@linkcode PlanBasis}, what a prediction needs. */
export interface PredictionBasis extends Pick<PlanBasis, "problem" | "profiles"> {
  planned: Pick<PlanBasis["planned"], "order" | "counts">;
}

/** What was to be expected. */
export interface RunPrediction {
  /** Generated tokens over the time that they and the prompts take. */
  tokensPerSecond: number;
  /** Milliseconds of computing for each generated token, with the prompts', by node in the ring's order. */
  msPerToken: number[];
}

/**
 * Predicts a run that is over. Tokens come as the cost model says for the samples that were under way on
 * average, each with half of its answer cached; the prompts take what they take at the node where that is most.
 */
export function predictRun(
  { problem, planned, profiles }: PredictionBasis,
  { tokens, promptTokens, samples, inFlight, decodeFrames }: RunLoad,
): RunPrediction {
  const { order, counts } = planned;
  const under = Math.max(1, Math.round(inFlight));
  const cached = (promptTokens + tokens / 2) / Math.max(1, samples);
  const rows = Math.ceil(under / decodeFrames);
  const loaded = withLoad(problem, profiles, { samples: under, cached });
  const { tokensPerSecond } = ringCost(loaded, order, counts, rows);
  const chunk = Math.max(1, Math.min(CHUNK_ROWS, promptTokens / Math.max(1, samples)));
  const shares = shareFrames(under, rows);
  const nodes = order.map((index, at) => {
    const { embed, head, prefillLayer } = profiles[index]!;
    const each = (times: RowTimes | null) => times ? timePerToken(times, shares) : 0;
    const decode = counts[at]! * each(layerTimes(profiles[index]!, cached)) +
      (at === 0 ? each(embed) + each(head) : 0);
    const prefill = promptTokens * counts[at]! * timeOf(prefillLayer, chunk) / chunk;
    return { decode, prefill };
  });
  const prompts = Math.max(...nodes.map(({ prefill }) => prefill));
  return {
    tokensPerSecond: 1000 * tokens / (1000 * tokens / tokensPerSecond + prompts),
    msPerToken: nodes.map(({ decode, prefill }) => decode + prefill / Math.max(1, tokens)),
  };
}

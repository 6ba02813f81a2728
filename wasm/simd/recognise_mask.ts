/**
 * Which positions a layer's attention mask lets a row see. The mask is computed, not matched, because every
 * version of an exporter writes it in another way.
 */
import { type GraphView, Mismatch } from "./graph_view.ts";
import {
  evaluateLayer,
  type Evaluation,
  largestConstant,
  type LayerRun,
  longerRun,
} from "./partial_evaluation.ts";
import type { PartialTensor } from "./partial_tensor.ts";

/** A masked score is lowered by at least this: the least that exports in half precision use. */
const MASKED = -1e4;

/**
 * Measures the window of a mask: positions that a row sees, itself among them; null for all before it.
 * @param value the mask that is added to the scores.
 * @param seen an evaluation of `run`, whose positions follow the cache.
 * @throws {Mismatch} where it is any other mask.
 */
export function maskWindow(
  view: GraphView,
  value: string,
  run: LayerRun,
  seen: Evaluation,
): number | null {
  const window = measure(seen.get(value), run);
  if (window !== null) return window;
  // A window longer than that run shows only in a longer one. Its length is a constant of the mask.
  const longer = longerRun(run, largestConstant(view, value, seen));
  return longer && measure(evaluateLayer(view, longer).get(value), longer);
}

function measure(mask: PartialTensor | undefined, { past, positions }: LayerRun): number | null {
  const rows = positions.length;
  const columns = past + rows;
  if (!mask?.data) {
    throw new Mismatch("has an attention mask that does not follow from lengths alone");
  }
  if (mask.dims.join() !== `1,1,${rows},${columns}`) {
    throw new Mismatch(`has an attention mask of shape [${mask.dims.join()}] for ${rows} rows`);
  }
  const first = (row: number) => {
    const cells = mask.data!.subarray(row * columns, (row + 1) * columns);
    const from = cells.indexOf(0);
    const own = past + row;
    const causal = cells.every((cell, i) => i >= from && i <= own ? cell === 0 : cell <= MASKED);
    if (from < 0 || !causal) {
      throw new Mismatch("has an attention mask that is neither causal nor a sliding window");
    }
    return from;
  };
  const from = Array.from({ length: rows }, (_, row) => first(row));
  if (from.every((start) => start === 0)) return null;
  const window = past + rows - from.at(-1)!;
  if (from.some((start, row) => start !== Math.max(0, past + row + 1 - window))) {
    throw new Mismatch("has an attention mask that is neither causal nor a sliding window");
  }
  return window;
}

/**
 * A layer's graph computed for one run of chosen lengths, as far as it goes without weights: shapes, masks
 * and angles are numbers then, in whatever way the exporter wrote them.
 */
import { type GraphView, Mismatch, operator } from "./graph_view.ts";
import { OPERATORS, tensorValue } from "./partial_operators.ts";
import { known, type PartialTensor, unknown } from "./partial_tensor.ts";

/** Whole numbers from here on stand for "to the end", not for a length. */
const MAX_LENGTH = 2 ** 31 - 1;
/** Floats from here on lower masked scores, or are the base of a rotation. */
const MAX_FLOAT_LENGTH = 1e4;
/** A longer run would take too long. */
const MAX_RUN = 2 ** 17;

/** A run of a layer. */
export interface LayerRun {
  /** Cached tokens. */
  past: number;
  /** The positions of its rows, which need not follow the cache. */
  positions: readonly number[];
  /** Width of a hidden row. */
  dModel: number;
  kvHeads: number;
  headDim: number;
}

/** Every value of the graph that is known, at least in its shape, by name. */
export type Evaluation = ReadonlyMap<string, PartialTensor>;

/** Computes what can be computed. Never throws for an operator that it does not know. */
export function evaluateLayer(view: GraphView, run: LayerRun): Evaluation {
  const { past, positions, dModel, kvHeads, headDim } = run;
  const rows = positions.length;
  const cache = unknown([1, kvHeads, past, headDim]);
  const values = new Map<string, PartialTensor>([
    ["hidden", unknown([1, rows, dModel])],
    ["past.key", cache],
    ["past.value", cache],
    ["attention_mask", known([1, past + rows], true, (out) => void out.fill(1))],
    ["position_ids", known([1, rows], true, (out) => out.set(positions))],
  ]);
  for (const tensor of view.constants) values.set(tensor.name, tensorValue(tensor));
  for (const node of view.nodes) {
    const inputs = node.input.map((name) => values.get(name));
    // An input that is left out has no name.
    if (inputs.some((input, i) => input === undefined && node.input[i] !== "")) continue;
    const result = OPERATORS.get(operator(node))?.(inputs, node);
    const results = Array.isArray(result) ? result : [result];
    for (const [i, name] of node.output.entries()) {
      const value = results[i];
      if (value !== undefined && name !== "") values.set(name, value);
    }
  }
  return values;
}

/** The largest constant that could be a length, among those that a value is computed from; 0 for none. */
export function largestConstant(view: GraphView, value: string, seen: Evaluation): number {
  let largest = 0;
  const take = (tensor: PartialTensor | undefined) => {
    for (const element of tensor?.data ?? []) {
      const size = Math.abs(element);
      const limit = tensor!.integer ? MAX_LENGTH : MAX_FLOAT_LENGTH;
      if (size < limit) largest = Math.max(largest, size);
    }
  };
  const open = [value];
  const visited = new Set<string>();
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (visited.has(next)) continue;
    visited.add(next);
    const node = view.nodeOf(next);
    if (!node && !view.inputs.has(next)) take(seen.get(next));
    // The shape of rows and caches: what they are computed from does not matter.
    if (!node || (node.opType === "Shape" && !seen.get(node.input[0]!)?.data)) continue;
    for (const { t } of node.attribute) if (t) take(tensorValue(t));
    open.push(...node.input);
  }
  return Math.ceil(largest);
}

/**
 * A run that is longer than a constant, so that what happens at that length happens in it; null where the
 * run is that already.
 * @throws {Mismatch} where it would be too long.
 */
export function longerRun(run: LayerRun, constant: number): LayerRun | null {
  if (run.past > constant) return null;
  if (constant > MAX_RUN) {
    throw new Mismatch(`has an attention that changes at a length of ${constant}`);
  }
  const past = constant + 2;
  return { ...run, past, positions: [past, past + 1] };
}

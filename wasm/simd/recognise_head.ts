/** The head block: the last norm, if it was not left to the last layer, and the product with the output table. */
import type { DecoderHead } from "./decoder.ts";
import { type GraphView, Mismatch, operator } from "./graph_view.ts";
import { evaluateLayer } from "./partial_evaluation.ts";
import { matchLinear } from "./recognise_linear.ts";
import { matchNorm } from "./recognise_norm.ts";

/**
 * Recognises the head block.
 * @throws {Mismatch}
 */
export function recogniseHead(view: GraphView): DecoderHead {
  const product = matchLinear(view, "logits");
  if (!product) {
    const node = view.producer("logits");
    throw new Mismatch(
      `makes its logits with ${node ? operator(node) : "nothing"}, not of a product alone`,
    );
  }
  const { linear: weight } = product;
  const input = allRows(view, product.input, weight.weight.k);
  if (view.origin(input) === "hidden") return { kind: "head", norm: null, weight };
  const normalised = matchNorm(view, input, weight.weight.k);
  if (!normalised) throw new Mismatch("has no RMSNorm before its product");
  if (view.origin(normalised.input) !== "hidden") {
    throw new Mismatch("does something else to its hidden rows before the last norm");
  }
  return { kind: "head", norm: normalised.norm, weight };
}

/**
 * The value behind a Slice that keeps all rows: exports that ask for how many logits to keep have one, and
 * mdi cuts them for all.
 */
function allRows(view: GraphView, value: string, dModel: number): string {
  const sliced = view.made(value, "Slice");
  if (!sliced) return value;
  const run = { past: 0, positions: [0, 1, 2], dModel, kvHeads: 1, headDim: 1 };
  const seen = evaluateLayer(view, run);
  const [whole, kept] = [sliced.input[0]!, sliced.output[0]!].map((each) => seen.get(each)?.dims);
  if (!whole || whole.join() !== kept?.join()) {
    throw new Mismatch("does not compute all its logits");
  }
  return sliced.input[0]!;
}

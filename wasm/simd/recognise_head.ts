/** The head block: the last norm and the product with the output table. */
import type { DecoderHead } from "./decoder.ts";
import { type GraphView, Mismatch, operator } from "./graph_view.ts";
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
  const { input, linear: weight } = product;
  const normalised = matchNorm(view, input, weight.weight.k);
  if (!normalised) {
    throw new Mismatch(
      view.origin(input) === "hidden"
        ? "has no norm, as f16 exports are cut"
        : "has no RMSNorm before its product",
    );
  }
  if (view.origin(normalised.input) !== "hidden") {
    throw new Mismatch("does something else to its hidden rows before the last norm");
  }
  return { kind: "head", norm: normalised.norm, weight };
}

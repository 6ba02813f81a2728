/** A layer block: x += o(attention(norm(x))), then x += down(silu(gate(norm(x))) · up(norm(x))), and maybe a norm. */
import type { DecoderLayer, Linear } from "./decoder.ts";
import { floatAttribute, type GraphView, Mismatch, operator } from "./graph_view.ts";
import { type Attention, matchGroupQueryAttention } from "./recognise_gqa.ts";
import { matchAttention } from "./recognise_attention.ts";
import { factors, matchLinear, type Product } from "./recognise_linear.ts";
import { matchNorm, matchSum, type Normalised } from "./recognise_norm.ts";

/**
 * Recognises a layer block.
 * @throws {Mismatch}
 */
export function recogniseLayer(view: GraphView): DecoderLayer {
  const last = lastNorm(view);
  const after = residual(view, last?.input ?? "hidden_out", "feed-forward");
  const dModel = after.product.linear.weight.n;
  const mlp = feedForward(view, after.product.input);
  const postNorm = matchNorm(view, mlp.input, dModel);
  if (!postNorm) throw new Mismatch("has no RMSNorm before its feed-forward");
  if (view.origin(postNorm.input) !== view.origin(after.rest)) {
    throw new Mismatch("does not add its feed-forward to what that is computed from");
  }
  const before = residual(view, after.rest, "attention");
  if (view.origin(before.rest) !== "hidden") {
    throw new Mismatch("does not add its attention to the hidden rows");
  }
  const attention = matchGroupQueryAttention(view, before.product.input) ??
    matchAttention(view, before.product.input, dModel);
  if (!attention) throw new Mismatch("has an attention that is not known");
  const inputNorm = matchNorm(view, attention.input, dModel);
  if (!inputNorm || view.origin(inputNorm.input) !== "hidden") {
    throw new Mismatch("has no RMSNorm before its attention");
  }
  return checked(view, {
    kind: "layer",
    dModel,
    ...dimensions(attention),
    inputNorm: inputNorm.norm,
    output: before.product.linear,
    postNorm: postNorm.norm,
    gate: mlp.gate,
    up: mlp.up,
    down: after.product.linear,
    outputNorm: last?.norm ?? null,
  });
}

function dimensions({ input: _, ...rest }: Attention): Omit<Attention, "input"> {
  return rest;
}

/** The norm that a layer ends with where there is no sum: f16 exports are cut behind the last one. */
function lastNorm(view: GraphView): Normalised | undefined {
  if (matchSum(view, "hidden_out")) return undefined;
  return matchNorm(view, "hidden_out", view.inputDims("hidden")?.[2] ?? 0);
}

/** A sum of a product and what else. */
function residual(
  view: GraphView,
  value: string,
  of: string,
): { product: Product; rest: string } {
  const sum = matchSum(view, value);
  if (!sum) {
    const node = view.producer(value);
    throw new Mismatch(
      `has no sum after its ${of}, but ${node ? operator(node) : "nothing"}`,
    );
  }
  for (const [rest, term] of [sum, sum.toReversed()] as [string, string][]) {
    const product = matchLinear(view, term);
    if (product) return { product, rest };
  }
  throw new Mismatch(`adds something other than a product after its ${of}`);
}

interface FeedForward {
  input: string;
  gate: Linear;
  up: Linear;
}

/** silu(gate(x)) · up(x), where silu(g) = g · sigmoid(g). */
function feedForward(view: GraphView, value: string): FeedForward {
  const parts = factors(view, value, (part) => matchLinear(view, part) !== undefined);
  if (!parts) throw new Mismatch("has a feed-forward that is not silu(gate) · up");
  for (const part of parts) {
    const gate = siluInput(view, part, parts);
    if (gate === undefined) continue;
    const rest = withoutOne(parts, part);
    const up = gate.multiplied ? withoutOne(rest, gate.value) : rest;
    const [gated, upper] = [matchLinear(view, gate.value), matchLinear(view, up[0] ?? "")];
    if (up.length !== 1 || !gated || !upper) break;
    if (view.origin(gated.input) !== view.origin(upper.input)) break;
    return { input: gated.input, gate: gated.linear, up: upper.linear };
  }
  throw new Mismatch("has a feed-forward that is not silu(gate) · up");
}

/** What a factor is the silu of, or the sigmoid of where the value is a factor itself. */
function siluInput(
  view: GraphView,
  value: string,
  parts: readonly string[],
): { value: string; multiplied: boolean } | undefined {
  const sigmoid = view.made(value, "Sigmoid");
  if (sigmoid) {
    const inner = view.origin(sigmoid.input[0]!);
    return parts.includes(inner) ? { value: inner, multiplied: true } : undefined;
  }
  // x · sigmoid(alpha · x); both operators have an alpha of their own where they do not say.
  const swish = view.made(value, "com.microsoft.QuickGelu", "Swish");
  if (!swish) return undefined;
  const alpha = floatAttribute(swish, "alpha", swish.opType === "Swish" ? 1 : 1.702);
  return alpha === 1 ? { value: view.origin(swish.input[0]!), multiplied: false } : undefined;
}

function withoutOne(values: readonly string[], value: string): string[] {
  return values.toSpliced(values.indexOf(value), 1);
}

/** Refuses what is consistent in no model, or what the kernels have no form for. */
function checked(view: GraphView, layer: DecoderLayer): DecoderLayer {
  const { dModel, heads, kvHeads, headDim, rope } = layer;
  if (heads % kvHeads !== 0) {
    throw new Mismatch(`has ${heads} heads for ${kvHeads} heads of keys and values`);
  }
  if (headDim % 8 !== 0) {
    throw new Mismatch(`has heads of ${headDim} values, which is no multiple of 8`);
  }
  if (rope.half % 4 !== 0 || 2 * rope.half > headDim) {
    throw new Mismatch(`rotates ${2 * rope.half} of ${headDim} values of a head`);
  }
  // Products are written 16 outputs at a time, and those of q, k and v lie side by side.
  const narrow = layer.qkv.find(({ weight }) => weight.n % 16 !== 0);
  if (narrow) {
    throw new Mismatch(`has a weight of ${narrow.weight.n} outputs, which is no multiple of 16`);
  }
  const width = (linears: readonly Linear[]) =>
    linears.reduce((all, { weight }) => all + weight.n, 0);
  const declared = (name: string, axis: number, size: number) =>
    (view.inputDims(name)?.[axis] ?? size) === size;
  const fits = [
    declared("hidden", 2, dModel),
    ...["past.key", "past.value"].flatMap((name) => [
      declared(name, 1, kvHeads),
      declared(name, 3, headDim),
    ]),
    layer.qkv.every(({ weight }) => weight.k === dModel),
    (layer.outputNorm?.weight.length ?? dModel) === dModel,
    width(layer.qkv) === (heads + 2 * kvHeads) * headDim,
    layer.output.weight.k === heads * headDim && layer.output.weight.n === dModel,
    layer.gate.weight.k === dModel && layer.up.weight.k === dModel,
    layer.gate.weight.n === layer.up.weight.n && layer.down.weight.k === layer.gate.weight.n,
  ];
  if (!fits.every(Boolean)) throw new Mismatch("has weights whose shapes do not fit together");
  return layer;
}

/** Attention in its parts, as optimum exports transformers' "eager" attention. */
import type { NodeProto } from "../gen/onnx/onnx_pb.ts";
import type { Linear, Norm } from "./decoder.ts";
import { type GraphView, intAttribute, intsAttribute, Mismatch } from "./graph_view.ts";
import { evaluateLayer, type Evaluation, type LayerRun } from "./partial_evaluation.ts";
import type { Attention } from "./recognise_gqa.ts";
import { bothWays, matchLinear } from "./recognise_linear.ts";
import { maskWindow } from "./recognise_mask.ts";
import { matchNorm } from "./recognise_norm.ts";
import { matchRotation, type Rotation, rotationRope } from "./recognise_rotation.ts";

/** Lengths of the run that shapes are looked at in. */
const PAST = 12;
const ROWS = 5;

/**
 * The attention that makes a value [1, T, heads · headDim]; undefined where it is no Softmax's.
 * @throws {Mismatch} where it is one that the kernels do not compute.
 */
export function matchAttention(
  view: GraphView,
  value: string,
  dModel: number,
): Attention | undefined {
  const mixed = throughHeads(view, value);
  const softmax = mixed && softmaxOf(view, mixed.input[0]!);
  if (!softmax) return undefined;
  const run = layerRun(view, dModel);
  const seen = evaluateLayer(view, run);
  const { heads } = headsOf(seen, mixed.output[0]!, run);

  const scores = view.made(softmax.input[0]!, "Add");
  if (!scores || ![-1, 3].includes(intAttribute(softmax, "axis", -1))) {
    throw new Mismatch("has an attention that does not add a mask to its scores");
  }
  const [product, mask] = bothWays(scores).find(([, other]) => seen.get(other)?.data) ?? [];
  if (product === undefined || mask === undefined) {
    throw new Mismatch("has an attention mask that does not follow from lengths alone");
  }
  const scaled = unscaled(view, product, seen);
  const multiplied = view.made(scaled.value, "MatMul");
  if (!multiplied) {
    const node = view.producer(scaled.value);
    throw new Mismatch(`has ${node?.opType ?? "something else"} between its scores and their mask`);
  }
  const query = unscaled(view, multiplied.input[0]!, seen);
  const key = unscaled(view, multiplied.input[1]!, seen);
  if (query.transposed || !key.transposed) {
    throw new Mismatch("has scores that are not queries · keys");
  }
  const newKey = cached(view, key.value, "key", seen, heads, run);
  const newValue = cached(view, mixed.input[1]!, "value", seen, heads, run);

  const rotation = rotationOf(view, query.value, run, seen);
  const keyRotation = rotationOf(view, newKey, run, seen);
  if (
    view.origin(rotation.cos) !== view.origin(keyRotation.cos) ||
    view.origin(rotation.sin) !== view.origin(keyRotation.sin)
  ) {
    throw new Mismatch("rotates its queries and keys by different angles");
  }
  const queries = projection(view, rotation.input, run.headDim);
  const keys = projection(view, keyRotation.input, run.headDim);
  const values = projection(view, newValue, run.headDim);
  if (values.norm) throw new Mismatch("has a norm of its values");
  if ([keys, values].some(({ input }) => view.origin(input) !== view.origin(queries.input))) {
    throw new Mismatch("computes its queries, keys and values from different rows");
  }
  return {
    input: queries.input,
    heads,
    kvHeads: run.kvHeads,
    headDim: run.headDim,
    scale: scaled.factor * query.factor * key.factor,
    window: maskWindow(view, mask, run, seen),
    rope: rotationRope(view, rotation, run),
    qkv: [queries.linear, keys.linear, values.linear],
    queryNorm: queries.norm,
    keyNorm: keys.norm,
  };
}

/** The product behind Reshape(Transpose(product)), from [1, heads, T, headDim] to rows. */
function throughHeads(view: GraphView, value: string): NodeProto | undefined {
  const joined = view.made(value, "Reshape");
  const swapped = joined && view.made(joined.input[0]!, "Transpose");
  if (!swapped || intsAttribute(swapped, "perm")?.join() !== "0,2,1,3") return undefined;
  return view.made(swapped.input[0]!, "MatMul");
}

/** The Softmax that makes a value; what replaces its NaNs, which a causal mask has none of, is not seen. */
function softmaxOf(view: GraphView, value: string): NodeProto | undefined {
  const guard = view.made(value, "Where");
  const tested = guard && view.made(guard.input[0]!, "IsNaN");
  if (!tested) return view.made(value, "Softmax");
  const softmax = view.made(guard.input[2]!, "Softmax");
  return softmax && view.producer(tested.input[0]!) === softmax ? softmax : undefined;
}

function layerRun(view: GraphView, dModel: number): LayerRun {
  const [, kvHeads, , headDim] = view.inputDims("past.key") ?? [];
  if (!kvHeads || !headDim) throw new Mismatch("does not say how many heads its cache has");
  const positions = Array.from({ length: ROWS }, (_, row) => PAST + row);
  return { past: PAST, positions, dModel, kvHeads, headDim };
}

function headsOf(seen: Evaluation, value: string, run: LayerRun): { heads: number } {
  const [batch, heads, rows, headDim] = seen.get(value)?.dims ?? [];
  if (batch !== 1 || !heads || rows !== ROWS || headDim !== run.headDim) {
    throw new Mismatch("has an attention whose shapes are not known");
  }
  return { heads };
}

/** A value behind scalar factors and the exchange of its last two dimensions. */
function unscaled(
  view: GraphView,
  value: string,
  seen: Evaluation,
): { value: string; factor: number; transposed: boolean } {
  let factor = 1;
  let transposed = false;
  for (;;) {
    const node = view.made(value, "Mul", "Div", "Transpose");
    if (node?.opType === "Transpose") {
      if (intsAttribute(node, "perm")?.join() !== "0,1,3,2") break;
      transposed = !transposed;
      value = node.input[0]!;
      continue;
    }
    if (!node) break;
    const scalar = (name = "") => {
      const data = seen.get(name)?.data;
      return data?.length === 1 ? data[0]! : undefined;
    };
    const [left, right] = [scalar(node.input[0]), scalar(node.input[1])];
    if (right !== undefined) {
      factor = node.opType === "Mul" ? factor * right : factor / right;
      value = node.input[0]!;
    } else if (left !== undefined && node.opType === "Mul") {
      factor *= left;
      value = node.input[1]!;
    } else break;
  }
  return { value: view.origin(value), factor, transposed };
}

/** What is appended to a cache, given the cache with each head repeated for its query heads. */
function cached(
  view: GraphView,
  value: string,
  of: "key" | "value",
  seen: Evaluation,
  heads: number,
  run: LayerRun,
): string {
  const strange = new Mismatch(`does not take its ${of}s from its own cache`);
  const repeats = heads / run.kvHeads;
  const length = run.past + run.positions.length;
  let whole = view.origin(value);
  if (seen.get(whole)?.dims.join() !== [1, heads, length, run.headDim].join()) throw strange;
  const joined = view.made(whole, "Reshape");
  if (joined) {
    const repeated = view.made(joined.input[0]!, "Expand");
    const apart = repeated && view.made(repeated.input[0]!, "Unsqueeze");
    const shape = repeated && seen.get(repeated.output[0]!)?.dims;
    // Each head beside its copies: [1, kvHeads, repeats, P+T, headDim].
    if (
      !apart || shape?.join() !== [1, run.kvHeads, repeats, length, run.headDim].join() ||
      seen.get(apart.output[0]!)?.dims[2] !== 1 || unsqueezed(view, apart)?.join() !== "2"
    ) throw strange;
    whole = view.origin(apart.input[0]!);
  }
  const appended = view.made(whole, "Concat");
  if (
    whole !== view.origin(`present.${of}`) || appended?.input.length !== 2 ||
    ![-2, 2].includes(intAttribute(appended, "axis", 0)) ||
    view.origin(appended.input[0]!) !== `past.${of}`
  ) throw strange;
  return view.origin(appended.input[1]!);
}

function unsqueezed(view: GraphView, node: NodeProto): number[] | undefined {
  return intsAttribute(node, "axes") ?? view.values(node.input[1] ?? "");
}

function rotationOf(view: GraphView, value: string, run: LayerRun, seen: Evaluation): Rotation {
  const rotation = matchRotation(view, value, run.headDim, seen);
  if (!rotation) throw new Mismatch("does not rotate the halves of its queries and keys");
  return rotation;
}

/** The product behind Transpose(Reshape(product)), with the norm of each head where there is one. */
function projection(
  view: GraphView,
  value: string,
  headDim: number,
): { input: string; linear: Linear; norm: Norm | null } {
  const swapped = view.made(value, "Transpose");
  const rows = swapped && intsAttribute(swapped, "perm")?.join() === "0,2,1,3"
    ? swapped.input[0]!
    : undefined;
  const normalised = rows === undefined ? undefined : matchNorm(view, rows, headDim, 4);
  const split = rows === undefined ? undefined : view.made(normalised?.input ?? rows, "Reshape");
  const found = split && matchLinear(view, split.input[0]!);
  if (!found) {
    throw new Mismatch("has queries, keys or values that are no product of the hidden rows");
  }
  return { ...found, norm: normalised?.norm ?? null };
}

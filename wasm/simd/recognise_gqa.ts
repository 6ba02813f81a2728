/**
 * GroupQueryAttention, as onnxruntime-genai's builder and the emitter write it: with the rotation inside, or
 * after RotaryEmbedding.
 */
import type { NodeProto } from "../gen/onnx/onnx_pb.ts";
import type { DecoderLayer, Linear, Norm, Rope } from "./decoder.ts";
import { floatAttribute, type GraphView, intAttribute, Mismatch } from "./graph_view.ts";
import { matchLinear } from "./recognise_linear.ts";
import { matchNorm } from "./recognise_norm.ts";

/** What recognition finds of an attention; `input` is what q, k and v are products of. */
export type Attention =
  & { input: string }
  & Pick<
    DecoderLayer,
    | "heads"
    | "kvHeads"
    | "headDim"
    | "scale"
    | "window"
    | "rope"
    | "qkv"
    | "queryNorm"
    | "keyNorm"
  >;

/** The operator's inputs, after its specification in ONNX Runtime's ContribOperators.md. */
const INPUTS = {
  query: 0,
  key: 1,
  value: 2,
  pastKey: 3,
  pastValue: 4,
  seqlensK: 5,
  totalLength: 6,
  cos: 7,
  sin: 8,
  positionIds: 9,
} as const;

/** Attributes that the kernels have; any other must be as if it were not there. */
const KNOWN = new Set([
  "num_heads",
  "kv_num_heads",
  "scale",
  "do_rotary",
  "rotary_interleaved",
  "local_window_size",
]);

/** The attention that makes a value; undefined where it is no GroupQueryAttention. */
export function matchGroupQueryAttention(view: GraphView, value: string): Attention | undefined {
  const node = view.made(value, "com.microsoft.GroupQueryAttention");
  if (!node || node.output[0] !== view.origin(value)) return undefined;
  checkAttributes(node);
  checkCaches(view, node);
  const heads = intAttribute(node, "num_heads", 0);
  const kvHeads = intAttribute(node, "kv_num_heads", 0);
  if (!(heads > 0 && kvHeads > 0)) throw view.corrupt("an attention without heads");
  const { rope, query, key } = rotation(view, node);
  const { input, qkv, queryNorm, keyNorm } = key === ""
    ? packedProjection(view, query)
    : projections(view, [query, key, node.input[INPUTS.value] ?? ""], heads, kvHeads);
  const headDim = qkv.reduce((all, { weight }) => all + weight.n, 0) / (heads + 2 * kvHeads);
  if (!Number.isInteger(headDim)) {
    throw view.corrupt(`${heads} + 2 · ${kvHeads} heads do not divide its projections`);
  }
  const scale = floatAttribute(node, "scale", 0);
  const window = intAttribute(node, "local_window_size", -1);
  if (window === 0) throw new Mismatch("has an attention window of no positions");
  return {
    input,
    heads,
    kvHeads,
    headDim,
    scale: scale === 0 ? 1 / Math.sqrt(headDim) : scale,
    // With the query's own position, as ONNX Runtime counts it since its pull request 25927.
    window: window < 0 ? null : window,
    rope,
    qkv,
    queryNorm,
    keyNorm,
  };
}

function checkAttributes(node: NodeProto): void {
  const softcap = floatAttribute(node, "softcap", 0);
  if (softcap !== 0) throw new Mismatch(`has a softcap of ${softcap} in its attention`);
  if (intAttribute(node, "rotary_interleaved", 0) !== 0) {
    throw new Mismatch("rotates neighbouring values instead of halves");
  }
  if (intAttribute(node, "smooth_softmax", 0) > 0) {
    throw new Mismatch("has a smooth softmax in its attention");
  }
  for (const { name, i, f, s } of node.attribute) {
    if (KNOWN.has(name) || name === "smooth_softmax") continue;
    const text = new TextDecoder().decode(s);
    if (i > 0n || f !== 0 || !["", "NONE"].includes(text)) {
      throw new Mismatch(`has an attention with ${name} ${text || (f === 0 ? i : f)}`);
    }
  }
}

function checkCaches(view: GraphView, node: NodeProto): void {
  const reads = ([["past.key", INPUTS.pastKey], ["past.value", INPUTS.pastValue]] as const)
    .every(([name, index]) => view.origin(node.input[index] ?? "") === name);
  const writes = ["present.key", "present.value"]
    .every((name, i) => view.origin(name) === node.output[1 + i]);
  if (!reads || !writes) throw new Mismatch("does not keep its keys and values in its own cache");
  const extra = node.input.findIndex((value, i) => i >= INPUTS.positionIds && value !== "");
  if (extra >= 0) throw new Mismatch(`has an attention with an input ${extra}`);
  if (
    !(fromMask(view, node.input[INPUTS.seqlensK]) && fromMask(view, node.input[INPUTS.totalLength]))
  ) {
    throw new Mismatch("takes its lengths from something other than attention_mask");
  }
}

/** Whether a value is made of attention_mask and constants alone. */
function fromMask(view: GraphView, value = ""): boolean {
  const open = [value];
  const seen = new Set<string>();
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (next === "attention_mask" || view.constant(next) || seen.has(next)) continue;
    const node = view.producer(next);
    if (!node) return false;
    seen.add(next);
    open.push(...node.input);
  }
  return true;
}

interface Projections {
  input: string;
  qkv: Linear[];
  queryNorm: Norm | null;
  keyNorm: Norm | null;
}

function packedProjection(view: GraphView, value: string): Projections {
  const found = matchLinear(view, value);
  if (!found) throw new Mismatch("has queries that are no product of the hidden rows");
  return { input: found.input, qkv: [found.linear], queryNorm: null, keyNorm: null };
}

function projections(
  view: GraphView,
  values: readonly [string, string, string],
  heads: number,
  kvHeads: number,
): Projections {
  const query = projection(view, values[0], heads);
  const key = projection(view, values[1], kvHeads);
  const value = projection(view, values[2], kvHeads);
  if (value.norm) throw new Mismatch("has a norm of its values");
  const input = view.origin(query.input);
  if (view.origin(key.input) !== input || view.origin(value.input) !== input) {
    throw new Mismatch("computes its queries, keys and values from different rows");
  }
  return {
    input,
    qkv: [query.linear, key.linear, value.linear],
    queryNorm: query.norm,
    keyNorm: key.norm,
  };
}

/** A product, or the norm of each of its heads. */
function projection(
  view: GraphView,
  value: string,
  heads: number,
): { input: string; linear: Linear; norm: Norm | null } {
  const plain = matchLinear(view, value);
  if (plain) return { ...plain, norm: null };
  const joined = view.made(value, "Reshape");
  // The width of a head is the length of the norm's weight, which the product's width must confirm.
  const length = joined && normLength(view, joined.input[0]!);
  const normalised = length && matchNorm(view, joined.input[0]!, length);
  const split = normalised && view.made(normalised.input, "Reshape");
  const found = split && matchLinear(view, split.input[0]!);
  if (!found || found.linear.weight.n !== length * heads) {
    throw new Mismatch("has queries, keys or values that are no product of the hidden rows");
  }
  return { ...found, norm: normalised.norm };
}

function normLength(view: GraphView, value: string): number | undefined {
  const weight = view.producer(value)?.input[1];
  return weight === undefined ? undefined : view.floats(weight)?.length;
}

interface Rotated {
  rope: Rope;
  /** What is rotated; the key is "" where the query is packed with it. */
  query: string;
  key: string;
}

function rotation(view: GraphView, node: NodeProto): Rotated {
  const [query = "", key = ""] = node.input;
  if (intAttribute(node, "do_rotary", 0) === 1) {
    const [cos = "", sin = ""] = node.input.slice(INPUTS.cos);
    return { rope: tables(view, cos, sin), query, key };
  }
  const [first, second] = [query, key].map((value) => rotatedBefore(view, value));
  if (!first || !second || first.input.slice(1, 4).join() !== second.input.slice(1, 4).join()) {
    throw new Mismatch("does not rotate its queries and keys, or by different angles");
  }
  const [, positions = "", cos = "", sin = ""] = first.input;
  if (view.origin(positions) !== "position_ids") {
    throw new Mismatch("computes the positions that it rotates by");
  }
  return { rope: tables(view, cos, sin), query: first.input[0]!, key: second.input[0]! };
}

/** RotaryEmbedding of halves, before attention. */
function rotatedBefore(view: GraphView, value: string): NodeProto | undefined {
  const node = view.made(value, "com.microsoft.RotaryEmbedding");
  const plain = node && intAttribute(node, "interleaved", 0) === 0 &&
    floatAttribute(node, "scale", 1) === 1 && intAttribute(node, "is_packed_batching", 0) === 0;
  return plain ? node : undefined;
}

function tables(view: GraphView, cosValue: string, sinValue: string): Rope {
  const [cos, sin] = [view.floats(cosValue), view.floats(sinValue)];
  if (!cos || !sin || cos.dims.length !== 2 || cos.dims.join() !== sin.dims.join()) {
    throw new Mismatch("has no constant tables of its rotation");
  }
  const [positions, half] = cos.dims as [number, number];
  const vector = ({ length, dtype, source }: typeof cos) => ({ length, dtype, source });
  return { type: "table", positions, half, cos: vector(cos), sin: vector(sin) };
}

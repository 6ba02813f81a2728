/** RMSNorm as one operator, fused with a sum, or in its parts. */
import type { NodeProto } from "../gen/onnx/onnx_pb.ts";
import type { Norm } from "./decoder.ts";
import {
  floatAttribute,
  type GraphView,
  intAttribute,
  intsAttribute,
  Mismatch,
} from "./graph_view.ts";
import { bothWays, factors } from "./recognise_linear.ts";

/** ONNX Runtime's operator for RMSNorm of a sum. */
const SKIP = "com.microsoft.SkipSimplifiedLayerNormalization";
/** Its output that is the sum. */
const SKIP_SUM = 3;

/** A norm: the value that is normalised (for a fused sum: see {@linkcode matchSum}) and its weight. */
export interface Normalised {
  input: string;
  norm: Norm;
}

/**
 * The RMSNorm that makes a value, over `length` values; undefined where none does.
 * @param rank of the value, whose last dimension is the normalised one.
 * @throws {Mismatch} where it is one in a form that the kernels do not have.
 */
export function matchNorm(
  view: GraphView,
  value: string,
  length: number,
  rank = 3,
): Normalised | undefined {
  const node = view.made(
    value,
    SKIP,
    "SimplifiedLayerNormalization",
    "com.microsoft.SimplifiedLayerNormalization",
    "RMSNormalization",
  );
  if (!node) return matchParts(view, value, length, rank);
  if (node.output[0] !== view.origin(value)) return undefined;
  const fused = node.opType === "SkipSimplifiedLayerNormalization";
  const axis = intAttribute(node, "axis", -1);
  const weight = view.vector(node.input[fused ? 2 : 1] ?? "", length);
  if (!weight || (axis !== -1 && axis !== rank - 1)) {
    throw new Mismatch(`has a norm that is not over ${length} values with a constant weight`);
  }
  return {
    input: fused ? fusedSum(node) : node.input[0]!,
    norm: { weight, epsilon: floatAttribute(node, "epsilon", fused ? 1e-12 : 1e-5) },
  };
}

/** The two values whose sum is a value; undefined where it is no sum. */
export function matchSum(view: GraphView, value: string): [string, string] | undefined {
  const origin = view.origin(value);
  const node = view.made(value, "Add") ??
    view.nodes.find((node) => node.opType === SKIP.split(".").at(-1) && fusedSum(node) === origin);
  if (!node) return undefined;
  if (node.opType !== "Add" && (node.input[3] ?? "") !== "") {
    throw new Mismatch("adds a bias within its norm");
  }
  return [node.input[0] ?? "", node.input[1] ?? ""];
}

/** The name of a fused sum; one of its own where the node does not give it out. */
function fusedSum(node: NodeProto): string {
  return node.output[SKIP_SUM] || `${node.output[0]}\0sum`;
}

/** x · 1/sqrt(mean(x²) + epsilon) · weight, in any order. */
function matchParts(
  view: GraphView,
  value: string,
  length: number,
  rank: number,
): Normalised | undefined {
  const quotient = view.made(value, "Div");
  const parts = factors(view, value) ?? (quotient && [value]);
  if (!parts) return undefined;
  const rest: string[] = [];
  let root: RootMeanSquare | undefined;
  for (const part of parts) {
    const found = root ? undefined : inverseRoot(view, part, rank);
    if (found) root = found;
    else rest.push(part);
  }
  if (!root) return undefined;
  const x = view.origin(root.input);
  const others = [...rest, ...(root.numerator === null ? [] : [view.origin(root.numerator)])];
  const weights = others.filter((other) => other !== x);
  const weight = weights.length === 1 ? view.vector(weights[0]!, length) : undefined;
  if (others.length !== 2 || !weight) {
    throw new Mismatch(`has a norm that is not over ${length} values with a constant weight`);
  }
  return { input: x, norm: { weight, epsilon: root.epsilon } };
}

interface RootMeanSquare {
  input: string;
  epsilon: number;
  /** What is divided by the root; null for 1. */
  numerator: string | null;
}

/** 1/sqrt(mean(x²) + epsilon), or another value divided by the root. */
function inverseRoot(view: GraphView, value: string, rank: number): RootMeanSquare | undefined {
  const inverse = view.made(value, "Reciprocal");
  if (inverse) {
    return meanSquare(view, rank, view.made(inverse.input[0]!, "Sqrt")?.input[0], null);
  }
  const power = view.made(value, "Pow");
  if (power && view.scalar(power.input[1]!) === -0.5) {
    return meanSquare(view, rank, power.input[0], null);
  }
  const quotient = view.made(value, "Div");
  if (!quotient) return undefined;
  const [numerator = "", root = ""] = quotient.input;
  const one = view.scalar(numerator) === 1;
  return meanSquare(view, rank, view.made(root, "Sqrt")?.input[0], one ? null : numerator);
}

function meanSquare(
  view: GraphView,
  rank: number,
  value: string | undefined,
  numerator: string | null,
): RootMeanSquare | undefined {
  const sum = value === undefined ? undefined : view.made(value, "Add");
  if (!sum) return undefined;
  for (const [mean, constant] of bothWays(sum)) {
    const node = view.made(mean, "ReduceMean");
    const epsilon = view.scalar(constant);
    if (!node || epsilon === undefined) continue;
    const axes = intsAttribute(node, "axes") ?? view.values(node.input[1] ?? "");
    const x = square(view, node.input[0]!);
    if (x === undefined || intAttribute(node, "keepdims", 1) !== 1) return undefined;
    if (axes?.length !== 1 || (axes[0] !== -1 && axes[0] !== rank - 1)) return undefined;
    return { input: x, epsilon, numerator };
  }
  return undefined;
}

function square(view: GraphView, value: string): string | undefined {
  const power = view.made(value, "Pow");
  if (power) return view.scalar(power.input[1]!) === 2 ? power.input[0] : undefined;
  const [a, b] = view.made(value, "Mul")?.input ?? [];
  return a !== undefined && b !== undefined && view.origin(a) === view.origin(b) ? a : undefined;
}

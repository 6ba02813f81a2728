/** Products with a weight, in the forms that exports and the emitter write them. */
import { type NodeProto, TensorProto_DataType as DataType } from "../gen/onnx/onnx_pb.ts";
import type { TensorSource } from "../block.ts";
import { isGgufType, rowBytes } from "../gguf/types.ts";
import { attribute } from "../ort/node_attributes.ts";
import type { Linear, Matrix } from "./decoder.ts";
import {
  type GraphView,
  intAttribute,
  intsAttribute,
  Mismatch,
  operator,
  textAttribute,
} from "./graph_view.ts";

/** A product: the value that is multiplied, and the weight with its bias. */
export interface Product {
  input: string;
  linear: Linear;
}

/**
 * The product that makes a value; undefined where none does.
 * @throws {Mismatch} where its weight is one that the kernels cannot read.
 * @throws {MdiError} model_corrupt
 */
export function matchLinear(view: GraphView, value: string): Product | undefined {
  const added = view.made(value, "Add");
  if (!added) return matchProduct(view, value);
  for (const [x, constant] of bothWays(added)) {
    if (!view.constant(constant)) continue;
    const found = matchProduct(view, x);
    if (!found || found.linear.bias) continue;
    const bias = view.vector(constant, found.linear.weight.n);
    if (!bias) throw new Mismatch("adds something other than a bias to a product");
    return { input: found.input, linear: { weight: found.linear.weight, bias } };
  }
  return undefined;
}

/** A node's two inputs in both orders. */
export function bothWays(node: NodeProto): [string, string][] {
  const [a = "", b = ""] = node.input;
  return [[a, b], [b, a]];
}

/**
 * What a tree of Mul multiplies; undefined where there is no Mul or too many.
 * @param whole tells which products of the tree are not to be taken apart.
 */
export function factors(
  view: GraphView,
  value: string,
  whole: (value: string) => boolean = () => false,
): string[] | undefined {
  const found: string[] = [];
  const open = [value];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const node = view.made(next, "Mul");
    if (node && !whole(next)) open.push(...node.input);
    else found.push(view.origin(next));
    if (open.length + found.length > 8) return undefined;
  }
  return found.length > 1 ? found : undefined;
}

/** A matrix of floating point, [k, n] where `transposed`, behind Transpose where there is one. */
export function floatMatrix(
  view: GraphView,
  value: string,
  transposed: boolean,
): Matrix | undefined {
  const swapped = view.made(value, "Transpose");
  const constant = view.floats(swapped ? swapped.input[0]! : value);
  if (!constant || constant.dims.length !== 2) return undefined;
  if (swapped && intsAttribute(swapped, "perm")?.join() !== "1,0") return undefined;
  const kFirst = swapped ? !transposed : transposed;
  const [rows, columns] = constant.dims as [number, number];
  return {
    n: kFirst ? columns : rows,
    k: kFirst ? rows : columns,
    form: { type: "float", dtype: constant.dtype, transposed: kFirst },
    sources: [constant.source],
  };
}

/** The matrix of MatMulGguf and GatherGguf, whose bytes are the given value. */
export function ggufMatrix(view: GraphView, node: NodeProto, value: string): Matrix {
  const gguf = textAttribute(node, "type");
  if (!isGgufType(gguf)) throw new Mismatch(`has weights of the type "${gguf}"`);
  const k = attribute(node, "K");
  const n = attribute(node, "N");
  const tensor = view.constant(value);
  if (!tensor) throw new Mismatch("computes the weight of a product");
  let row: number;
  try {
    row = rowBytes(gguf, k);
  } catch (cause) {
    throw view.corrupt((cause as Error).message);
  }
  return { n, k, form: { type: "gguf", gguf }, sources: [view.source(tensor, n * row)] };
}

/** The shape of an n-bit matrix. */
export interface NBits {
  n: number;
  k: number;
  bits: number;
  block: number;
}

/** The matrix of MatMulNBits and GatherBlockQuantized from codes, scales and zero points. */
export function nBitsMatrix(
  view: GraphView,
  { n, k, bits, block }: NBits,
  [codes = "", scales = "", zeroPoints = ""]: readonly string[],
): Matrix {
  if (bits !== 4 && bits !== 8) throw new Mismatch(`has weights of ${bits} bits`);
  if (block < 16 || block % 16 !== 0 || k % block !== 0) {
    throw new Mismatch(`has weights of ${k} inputs in blocks of ${block}`);
  }
  const tensors = [codes, scales, zeroPoints].map((value) => view.constant(value));
  const [weight, scale, zero] = tensors;
  if (!weight || !scale || (zeroPoints !== "" && !zero)) {
    throw new Mismatch("computes the weight of a product");
  }
  const runs = n * k / block;
  const scaleType = scale.dataType === DataType.FLOAT
    ? "f32"
    : scale.dataType === DataType.FLOAT16
    ? "f16"
    : undefined;
  if (weight.dataType !== DataType.UINT8 || !scaleType) {
    throw new Mismatch(
      `has weights of ${DataType[weight.dataType]} with scales of ${DataType[scale.dataType]}`,
    );
  }
  const scaleBytes = runs * (scaleType === "f32" ? 4 : 2);
  const sources: TensorSource[] = [
    view.source(weight, n * k * bits / 8),
    view.source(scale, scaleBytes),
  ];
  let zeroType: "u8" | "float" | null = null;
  if (zero) {
    zeroType = zero.dataType === DataType.UINT8 ? "u8" : "float";
    if (zeroType === "float" && zero.dataType !== scale.dataType) {
      throw new Mismatch(`has zero points of ${DataType[zero.dataType]}`);
    }
    const packed = n * Math.ceil(k / block * bits / 8);
    sources.push(view.source(zero, zeroType === "u8" ? packed : scaleBytes));
  }
  return {
    n,
    k,
    form: { type: "nbits", bits, block, scales: scaleType, zeroPoints: zeroType },
    sources,
  };
}

/** An int8 matrix from its codes, its scale and its zero point, which may be "". */
export function int8Matrix(
  view: GraphView,
  transposed: boolean,
  [codes = "", scale = "", zeroPoint = ""]: readonly string[],
): Matrix {
  const weight = view.constant(codes);
  const scales = view.floats(scale);
  const zero = view.constant(zeroPoint);
  if (!weight || !scales || (zeroPoint !== "" && !zero)) {
    throw new Mismatch("computes the weight of a product");
  }
  const dims = view.dims(weight);
  const signed = weight.dataType === DataType.INT8;
  if (dims.length !== 2 || !(signed || weight.dataType === DataType.UINT8)) {
    throw new Mismatch(
      `has an integer weight of ${DataType[weight.dataType]} in ${dims.length} dimensions`,
    );
  }
  const [k, n] = (transposed ? dims : dims.toReversed()) as [number, number];
  const perRow = scales.length !== 1;
  if (scales.dtype !== "f32" || (perRow && scales.length !== n)) {
    throw new Mismatch(`has ${scales.length} ${scales.dtype} scales for a weight of ${n} outputs`);
  }
  const sources = [view.source(weight), scales.source];
  if (zero) {
    if (zero.dataType !== weight.dataType) throw view.corrupt("zero points of another type");
    const points = zeroPoints(view.source(zero), scales.length);
    if (!points) throw new Mismatch("has more zero points than scales in a weight");
    if (!signed || !isZero(points)) sources.push(points);
  }
  return { n, k, form: { type: "int8", signed, transposed, perRow }, sources };
}

/** As many zero points as there are scales. */
function zeroPoints(source: TensorSource, count: number): TensorSource | undefined {
  if (source.length === count) return source;
  if (source.length !== 1 || !(source instanceof Uint8Array)) return undefined;
  return new Uint8Array(count).fill(source[0]!);
}

function isZero(source: TensorSource): boolean {
  return source instanceof Uint8Array && source.every((byte) => byte === 0);
}

function matchProduct(view: GraphView, value: string): Product | undefined {
  const node = view.producer(value);
  if (!node) return undefined;
  switch (operator(node)) {
    case "mdi.MatMulGguf":
      return product(node.input[0], ggufMatrix(view, node, node.input[1] ?? ""));
    case "com.microsoft.MatMulNBits":
      return nBitsProduct(view, node);
    case "MatMul": {
      const weight = matMulWeight(view, node.input[1] ?? "");
      return weight && product(node.input[0], weight);
    }
    case "Mul":
      return integerProduct(view, value);
  }
  return undefined;
}

/** [k, n] in floating point, or in integers with a scale, or one for each of its columns. */
function matMulWeight(view: GraphView, value: string): Matrix | undefined {
  const node = view.made(value, "DequantizeLinear");
  if (!node) return floatMatrix(view, value, true);
  const [codes = "", scale = "", zeroPoint = ""] = node.input;
  if (!view.constant(codes)) return undefined;
  const weight = int8Matrix(view, true, [codes, scale, zeroPoint]);
  const perRow = weight.form.type === "int8" && weight.form.perRow;
  if (perRow && ![-1, 1].includes(intAttribute(node, "axis", 1))) {
    throw new Mismatch("has a scale for each input of a weight");
  }
  return weight;
}

function nBitsProduct(view: GraphView, node: NodeProto): Product {
  const [x, codes = "", scales = "", zeroPoints = "", order = "", bias = ""] = node.input;
  if (order !== "") throw new Mismatch("has a weight whose inputs are in another order (g_idx)");
  const n = attribute(node, "N");
  const shape = {
    n,
    k: attribute(node, "K"),
    bits: intAttribute(node, "bits", 4),
    block: attribute(node, "block_size"),
  };
  const found = product(x, nBitsMatrix(view, shape, [codes, scales, zeroPoints]));
  if (bias === "") return found;
  const vector = view.vector(bias, n);
  if (!vector) throw new Mismatch("computes the bias of a product");
  return { input: found.input, linear: { weight: found.linear.weight, bias: vector } };
}

/** Cast(MatMulInteger(DynamicQuantizeLinear(x), W)) · the activations' scale · the weight's. */
function integerProduct(view: GraphView, value: string): Product | undefined {
  const parts = factors(view, value);
  const sum = parts?.map((part) => view.made(part, "MatMulInteger")).find((node) => node);
  if (parts?.length !== 3 || !sum) return undefined;
  const [x = "", weight = "", xZero = "", zeroPoint = ""] = sum.input;
  const quantised = view.made(x, "DynamicQuantizeLinear");
  const rest = parts.filter((part) => part !== sum.output[0] && part !== quantised?.output[1]);
  if (
    !quantised || x !== quantised.output[0] || xZero !== quantised.output[2] || rest.length !== 1
  ) {
    throw new Mismatch("has an integer product in a form that is not known");
  }
  return product(quantised.input[0], int8Matrix(view, true, [weight, rest[0]!, zeroPoint]));
}

function product(input: string | undefined, weight: Matrix): Product {
  if (weight.k % 32 !== 0) {
    throw new Mismatch(`has a weight of ${weight.k} inputs, which is no multiple of 32`);
  }
  return { input: input ?? "", linear: { weight, bias: null } };
}

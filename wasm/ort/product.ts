/**
 * Products with a quantised weight, and the two forms in which ONNX Runtime computes them: a MatMul over
 * the weight as f32, or MatMulNBits over its codes.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  AttributeProto_AttributeType,
  type NodeProto,
  NodeProtoSchema,
  TensorProto_DataType,
} from "../gen/onnx/onnx_pb.ts";
import type { TensorSource } from "../block.ts";
import { MdiError } from "../error.ts";
import { affineType, takeApart } from "../gguf/affine.ts";
import { dequantiseTransposed } from "../gguf/dequantise.ts";
import { type GgufType, rowBytes } from "../gguf/types.ts";
import { dequantiseNBits, type NBitsShape } from "./nbits.ts";
import { attribute, ggufType } from "./node_attributes.ts";

/** A tensor that a form of a product needs, made from the product's sources. */
export interface MadeTensor {
  /** Appended to the weight's name. */
  suffix: string;
  dims: number[];
  type: TensorProto_DataType;
  /** Bytes of the result. */
  bytes: number;
  make(parts: readonly Uint8Array[], out: Uint8Array): void;
}

/** Nodes and tensors that take the place of a product. */
export interface ProductForm {
  tensors: MadeTensor[];
  /** The nodes, given the tensors' names in their order. */
  nodes(names: readonly string[]): NodeProto[];
}

/** A product with a quantised weight. */
export interface Product {
  /** The weight's name; products that share it share what is made of it. */
  weight: string;
  /** What the forms are made from. */
  sources: TensorSource[];
  /** Over the weight as f32. */
  expanded: ProductForm;
  /** Over its codes; "as it is" where ONNX Runtime knows the operator; undefined where there is none. */
  packed: ProductForm | "as it is" | undefined;
}

/**
 * Reads a node; undefined where it is no product with a quantised weight that can be expanded.
 * @param source gives an initializer's bytes; throws where it is none.
 * @throws {MdiError} model_corrupt, model_unsupported
 */
export function asProduct(
  node: NodeProto,
  source: (name: string) => TensorSource,
): Product | undefined {
  if (node.domain === "mdi" && node.opType === "MatMulGguf") return ggufProduct(node, source);
  if (node.domain === "com.microsoft" && node.opType === "MatMulNBits") {
    return nBitsProduct(node, source);
  }
}

function ggufProduct(node: NodeProto, source: (name: string) => TensorSource): Product {
  const type = ggufType(node);
  const k = attribute(node, "K");
  const n = attribute(node, "N");
  const weight = node.input[1]!;
  const bytes = source(weight);
  const needed = n * rowBytes(type, k);
  if (bytes.length !== needed) {
    throw new MdiError(
      "model_corrupt",
      `Cannot run ${node.name}: its weight has ${bytes.length} bytes where its shape needs ${needed}`,
    );
  }
  return {
    weight,
    sources: [bytes],
    expanded: matMul(node, k, n, false, ([rows], out) => {
      dequantiseTransposed(type, rows!, n, k, out);
    }),
    packed: packedGguf(node, type, k, n),
  };
}

/** x · Wᵀ = x · ((q - zero) · scale)ᵀ + (sums of x over each run) · minimums. */
function packedGguf(node: NodeProto, type: GgufType, k: number, n: number): Product["packed"] {
  const affine = affineType(type);
  if (!affine) return undefined;
  const { bits, run, zero, minimum } = affine;
  const runs = k / run;
  const [x, y] = [node.input[0]!, node.output[0]!];
  const tensors: MadeTensor[] = [
    {
      suffix: `q${bits}`,
      dims: [n, runs, run * bits / 8],
      type: TensorProto_DataType.UINT8,
      bytes: n * k * bits / 8,
      make: ([rows], codes) => takeApart(type, rows!, n, k, { codes }),
    },
    {
      suffix: "scales",
      dims: [n * runs],
      type: TensorProto_DataType.FLOAT,
      bytes: n * runs * 4,
      make: ([rows], out) => takeApart(type, rows!, n, k, { scales: asFloats(out) }),
    },
    {
      suffix: "zeros",
      dims: [n * Math.ceil(runs * bits / 8)],
      type: TensorProto_DataType.UINT8,
      bytes: n * Math.ceil(runs * bits / 8),
      make: (_, out) => void out.fill(bits === 8 ? zero : zero << 4 | zero),
    },
  ];
  if (minimum) {
    tensors.push({
      suffix: "minimums",
      dims: [runs, n],
      type: TensorProto_DataType.FLOAT,
      bytes: n * runs * 4,
      make: ([rows], out) => takeApart(type, rows!, n, k, { minimums: asFloats(out) }),
    });
  }
  return {
    tensors,
    nodes([codes, scales, zeros, minimums]) {
      const product = minimum ? `${y}:q` : y;
      const nodes = [
        create(NodeProtoSchema, {
          domain: "com.microsoft",
          opType: "MatMulNBits",
          name: node.name,
          input: [x, codes!, scales!, zeros!],
          output: [product],
          attribute: Object.entries({ K: k, N: n, bits, block_size: run })
            .map(([name, value]) => int(name, value)),
        }),
      ];
      if (minimums) nodes.push(...minimumNodes(x, run, minimums, product, y));
      return nodes;
    },
  };
}

/** y = product + (sums of x over each run) · minimums. */
function minimumNodes(
  x: string,
  run: number,
  minimums: string,
  product: string,
  y: string,
): NodeProto[] {
  const node = (opType: string, input: string[], output: string, attribute: Attribute[] = []) =>
    create(NodeProtoSchema, {
      opType,
      name: `${output}/${opType}`,
      input,
      output: [output],
      attribute,
    });
  return [
    node("Constant", [], `${y}:shape`, [ints("value_ints", [0, 0, -1, run])]),
    node("Constant", [], `${y}:axis`, [ints("value_ints", [-1])]),
    node("Reshape", [x, `${y}:shape`], `${y}:runs`),
    node("ReduceSum", [`${y}:runs`, `${y}:axis`], `${y}:sums`, [int("keepdims", 0)]),
    node("MatMul", [`${y}:sums`, minimums], `${y}:minimums`),
    node("Add", [product, `${y}:minimums`], y),
  ];
}

function nBitsProduct(
  node: NodeProto,
  source: (name: string) => TensorSource,
): Product | undefined {
  // With a permutation of the columns (input 4) or a bias (input 5) it stays as it is.
  if ((node.input[4] ?? "") !== "" || (node.input[5] ?? "") !== "") return undefined;
  const shape: NBitsShape = {
    k: attribute(node, "K"),
    n: attribute(node, "N"),
    bits: attribute(node, "bits"),
    blockSize: attribute(node, "block_size"),
  };
  const { k, n, bits, blockSize } = shape;
  if (bits !== 4 && bits !== 8) return undefined;
  const sources = node.input.slice(1, 4).filter((name) => name !== "").map(source);
  const half = sources[1]!.length === 2 * n * Math.ceil(k / blockSize);
  return {
    weight: node.input[1]!,
    sources,
    expanded: matMul(node, k, n, half, (parts, out) => dequantiseNBits(shape, parts, out)),
    packed: "as it is",
  };
}

/** MatMul over the expanded weight; in a half-precision graph between two casts. */
function matMul(
  node: NodeProto,
  k: number,
  n: number,
  half: boolean,
  expand: (parts: readonly Uint8Array[], out: Float32Array) => void,
): ProductForm {
  const [x, y] = [node.input[0]!, node.output[0]!];
  const product = (a: string, weight: string, output: string) =>
    create(NodeProtoSchema, {
      opType: "MatMul",
      name: node.name,
      input: [a, weight],
      output: [output],
    });
  return {
    tensors: [{
      suffix: "f32",
      dims: [k, n],
      type: TensorProto_DataType.FLOAT,
      bytes: 4 * k * n,
      make: (parts, out) => expand(parts, asFloats(out)),
    }],
    nodes: ([weight]) =>
      half
        ? [
          cast(`${node.name}/in`, x, `${y}:in`, TensorProto_DataType.FLOAT),
          product(`${y}:in`, weight!, `${y}:out`),
          cast(`${node.name}/out`, `${y}:out`, y, TensorProto_DataType.FLOAT16),
        ]
        : [product(x, weight!, y)],
  };
}

function cast(name: string, input: string, output: string, to: number): NodeProto {
  return create(NodeProtoSchema, {
    opType: "Cast",
    name,
    input: [input],
    output: [output],
    attribute: [int("to", to)],
  });
}

type Attribute = NonNullable<MessageInitShape<typeof NodeProtoSchema>["attribute"]>[number];

function int(name: string, value: number): Attribute {
  return { name, type: AttributeProto_AttributeType.INT, i: BigInt(value) };
}

function ints(name: string, values: readonly number[]): Attribute {
  return { name, type: AttributeProto_AttributeType.INTS, ints: values.map(BigInt) };
}

function asFloats(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

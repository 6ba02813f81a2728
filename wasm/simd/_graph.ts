/** Small ONNX graphs for tests, written as lists. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ModelProto,
  ModelProtoSchema,
  type NodeProtoSchema,
  type TensorProto,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
} from "../gen/onnx/onnx_pb.ts";

/** Whole numbers are integer attributes, lists lists of them, texts texts; a float is in an object. */
export type Attributes = Record<
  string,
  number | number[] | string | { float: number } | TensorProto
>;

/** Operator (with its domain), inputs, outputs, attributes. */
export type NodeList = [string, string[], string[], Attributes?][];

/** What a graph is made of. */
export interface GraphParts {
  /** Shapes by name; null where a dimension varies. */
  inputs: Record<string, (number | null)[]>;
  outputs: string[];
  nodes: NodeList;
  constants: TensorProto[];
}

/** Makes a model. */
export function graphModel({ inputs, outputs, nodes, constants }: GraphParts): ModelProto {
  return create(ModelProtoSchema, {
    graph: {
      input: Object.entries(inputs).map(([name, dims]) => ({
        name,
        type: {
          value: {
            case: "tensorType" as const,
            value: {
              elemType: DataType.FLOAT,
              shape: {
                dim: dims.map((dim) => ({
                  value: dim === null
                    ? { case: "dimParam" as const, value: "N" }
                    : { case: "dimValue" as const, value: BigInt(dim) },
                })),
              },
            },
          },
        },
      })),
      output: outputs.map((name) => ({ name })),
      node: nodes.map(nodeOf),
      initializer: constants,
    },
  });
}

/** A constant whose bytes are in the graph. */
export function floats(name: string, dims: number[], values: readonly number[]): TensorProto {
  return inline(name, DataType.FLOAT, dims, Float32Array.from(values));
}

/** The same of INT64. */
export function integers(name: string, dims: number[], values: readonly number[]): TensorProto {
  return inline(name, DataType.INT64, dims, BigInt64Array.from(values, BigInt));
}

/** A constant of any type in the graph. */
export function inline(
  name: string,
  dataType: DataType,
  dims: number[],
  values: ArrayBufferView,
): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dataType,
    dims: dims.map(BigInt),
    rawData: new Uint8Array(
      values.buffer as ArrayBuffer,
      values.byteOffset,
      values.byteLength,
    ),
  });
}

/** A constant whose bytes lie in a block's data section. */
export function external(
  name: string,
  dataType: DataType,
  dims: number[],
  bytes: number,
  place: { location?: string; offset?: number } = {},
): TensorProto {
  const { location = "self", offset = 0 } = place;
  return create(TensorProtoSchema, {
    name,
    dataType,
    dims: dims.map(BigInt),
    dataLocation: 1,
    externalData: Object.entries({ location, offset, length: bytes })
      .map(([key, value]) => ({ key, value: String(value) })),
  });
}

function nodeOf(
  [name, input, output, attributes = {}]: NodeList[number],
): MessageInitShape<typeof NodeProtoSchema> {
  const dot = name.lastIndexOf(".");
  return {
    domain: name.slice(0, Math.max(0, dot)),
    opType: name.slice(dot + 1),
    input,
    output,
    attribute: Object.entries(attributes).map(([name, value]) => {
      if (typeof value === "number") return { name, type: 2, i: BigInt(value) };
      if (typeof value === "string") return { name, type: 3, s: new TextEncoder().encode(value) };
      if (Array.isArray(value)) return { name, type: 7, ints: value.map(BigInt) };
      return "float" in value ? { name, type: 1, f: value.float } : { name, type: 4, t: value };
    }),
  };
}

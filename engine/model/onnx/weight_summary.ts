/** What a block's initializers are as weights: how many there are, and in which formats. */
import {
  type NodeProto,
  type TensorProto,
  TensorProto_DataType as DataType,
} from "../../../wasm/gen/onnx/onnx_pb.ts";
import type { BlockRecipe } from "../types.ts";
import { attribute } from "./graph.ts";
import { dataTypeName, elementCount } from "./tensor_type.ts";

const FORMAT_NAMES: ReadonlyMap<number, string> = new Map([
  [DataType.FLOAT, "F32"],
  [DataType.FLOAT16, "F16"],
  [DataType.INT8, "int8"],
  [DataType.UINT8, "int8"],
]);
/** Element types that never hold weights: shapes, axes, flags. */
const NOT_WEIGHTS = new Set<number>([DataType.INT64, DataType.INT32, DataType.BOOL]);
/** Nodes between an initializer and the one that shows what it is. */
const PASSING = new Set(["Reshape", "Transpose", "Identity", "Unsqueeze", "Cast"]);
/**
 * Nodes that read no weights: tables of sines and cosines, or, for each row of a batch, the rotary
 * frequencies.
 */
const ROTARY = new Set(["GroupQueryAttention", "RotaryEmbedding", "Expand"]);

/** The first node that reads each value, and as which input. */
type Readers = ReadonlyMap<string, { node: NodeProto; input: number }>;

/** Finds the first reader of every value. */
export function firstReaders(nodes: readonly NodeProto[]): Readers {
  const readers = new Map<string, { node: NodeProto; input: number }>();
  for (const node of nodes) {
    for (const [input, value] of node.input.entries()) {
      if (!readers.has(value)) readers.set(value, { node, input });
    }
  }
  return readers;
}

/** Counts weights by their products: packed elements as what they unpack to, scales not at all. */
export function summarizeWeights(
  tensors: readonly TensorProto[],
  readers: Readers,
): Pick<BlockRecipe, "parameters" | "dtypes"> {
  let parameters = 0;
  const dtypes = new Set<string>();
  for (const tensor of tensors) {
    const weight = weightOf(tensor, readers);
    if (!weight) continue;
    parameters += weight.elements;
    dtypes.add(weight.format);
  }
  return { parameters, dtypes: [...dtypes].sort() };
}

function weightOf(
  tensor: TensorProto,
  readers: Readers,
): { elements: number; format: string } | undefined {
  // A scalar is a scale, a zero point or an epsilon.
  if (NOT_WEIGHTS.has(tensor.dataType) || elementCount(tensor) < 2) return undefined;
  let reader = readers.get(tensor.name);
  while (reader && PASSING.has(reader.node.opType)) reader = readers.get(reader.node.output[0]!);
  const number = (name: string) => Number(attribute(reader!.node, name)?.i ?? 0);
  switch (reader?.node.opType) {
    case "MatMulNBits":
      if (reader.input !== 1) return undefined;
      return {
        elements: number("K") * number("N"),
        format: `int${number("bits") || 4}/${number("block_size")}`,
      };
    case "GatherBlockQuantized":
      if (reader.input !== 0) return undefined;
      return {
        elements: elementCount(tensor) *
          (tensor.dataType === DataType.UINT8 ? 8 / (number("bits") || 4) : 1),
        format: `int${number("bits") || 4}/${number("block_size") || 128}`,
      };
  }
  if (reader && ROTARY.has(reader.node.opType)) return undefined;
  return {
    elements: elementCount(tensor),
    format: FORMAT_NAMES.get(tensor.dataType) ?? dataTypeName(tensor.dataType),
  };
}

/** One block of a cut graph: its nodes between canonical inputs and outputs (wasm/block.ts names them). */
import { create } from "@bufbuild/protobuf";
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProto_DataType as DataType,
  type ValueInfoProto,
} from "../../../wasm/gen/onnx/onnx_pb.ts";
import { valueInfo } from "../value_info.ts";
import { extractBlock, own } from "./extract_block.ts";
import type { CutEdge } from "./find_edges.ts";
import type { Graph } from "./graph.ts";
import type { ShapeSources } from "./shape_source.ts";

/** A block before its initializers are placed. */
export interface BlockSlice {
  /** "embed", "layer.0" …, "head". */
  name: string;
  /** Its nodes, in topological order, under the names of the whole graph. */
  nodes: NodeProto[];
  /** Inputs under their canonical names. */
  inputs: ValueInfoProto[];
  /** Outputs under their canonical names. */
  outputs: ValueInfoProto[];
  /** Canonical names of values that have one. */
  names: Map<string, string>;
  /** Constants of its own, beside those of the graph. */
  constants: Map<string, TensorProto>;
}

/** An input or output of a block. */
export interface Port {
  /** Canonical name. */
  name: string;
  /** Name in the whole graph. */
  value: string;
  /** Element type at the block's door. */
  type: number;
  /** A number, or a symbol's name, for each dimension. */
  dims: (number | string)[];
  /** Element type within the graph, where it is another one: a cast stands at the door. */
  inner?: number;
}

/** What to slice. */
export interface SliceRequest {
  /** The block's name. */
  name: string;
  /** The edge it starts at; null for embed. */
  from: Port[] | null;
  /** Its other inputs. */
  inputs: Port[];
  /** The edge it ends at; null for head. */
  to: Port[] | null;
  /** Its other outputs. */
  outputs: Port[];
}

/**
 * The tensors of an edge. One f16 value crosses as f32: ONNX Runtime computes f16 in f32 and drops the
 * rounding between two nodes, so a rounding at the edge would be one that the whole graph does not do.
 */
export function edgePorts({ values, elementType }: CutEdge, name: string, width: number): Port[] {
  const dims = [1, "T", width];
  if (values.length === 2) {
    return values.map((value, i) => ({
      name: `${name}.${i}`,
      value,
      type: DataType.FLOAT16,
      dims,
    }));
  }
  const port: Port = { name, value: values[0]!, type: DataType.FLOAT, dims };
  if (elementType !== DataType.FLOAT) port.inner = elementType;
  return [port];
}

/**
 * Takes a block out of the graph and puts casts at its doors.
 * @throws {MdiError} model_unsupported where it needs what the block is not given.
 */
export function sliceBlock(graph: Graph, shapes: ShapeSources, request: SliceRequest): BlockSlice {
  const inputs = [...request.from ?? [], ...request.inputs];
  const outputs = [...request.to ?? [], ...request.outputs];
  const past = request.inputs.find((port) => port.name === "past.key");
  const part = extractBlock(graph, shapes, {
    name: request.name,
    feeds: new Map(inputs.map((port) => [port.value, port.name])),
    fetches: outputs.map((port) => port.value),
    hidden: request.from ? own(request.from[0]!.name) : null,
    past: past ? own(past.name) : null,
  });
  const names = new Map<string, string>();
  const before: NodeProto[] = [];
  const after: NodeProto[] = [];
  for (const port of inputs) {
    names.set(own(port.name), port.name);
    if (port.inner === undefined) names.set(port.value, port.name);
    else before.push(cast(own(port.name), port.value, port.inner));
  }
  for (const port of outputs) {
    names.set(own(port.name), port.name);
    if (port.inner === undefined) names.set(port.value, port.name);
    else after.push(cast(port.value, own(port.name), port.type));
  }
  const nodes = [...before, ...part.nodes, ...after];
  const read = new Set(nodes.flatMap((node) => node.input).map((value) => names.get(value)));
  return {
    name: request.name,
    nodes,
    inputs: inputs.filter((port) => !OPTIONAL.has(port.name) || read.has(port.name)).map(portInfo),
    outputs: outputs.map(portInfo),
    names,
    constants: new Map(part.constants.map((tensor) => [tensor.name, tensor])),
  };
}

/** Inputs that a block has only where its graph reads them. */
const OPTIONAL = new Set(["attention_mask", "position_ids"]);

function cast(from: string, to: string, type: number): NodeProto {
  return create(NodeProtoSchema, {
    opType: "Cast",
    input: [from],
    output: [to],
    attribute: [
      create(AttributeProtoSchema, { name: "to", type: AttributeType.INT, i: BigInt(type) }),
    ],
  });
}

function portInfo({ name, type, dims }: Port): ValueInfoProto {
  return valueInfo(name, type, dims);
}

/** An ONNX graph made ready for analysis: checked, indexed, Constant nodes turned into initializers. */
import { create } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProto_AttributeType as AttributeType,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
  type ValueInfoProto,
} from "../../../wasm/gen/onnx/onnx_pb.ts";
import { MdiError } from "../../../wasm/error.ts";
import { rawTensor } from "./raw_tensor.ts";

/** A graph by its names. */
export interface Graph {
  /** In topological order. */
  nodes: NodeProto[];
  /** The constants. */
  initializers: Map<string, TensorProto>;
  /** What is fed, in order; initializers are not among them. */
  inputs: Map<string, ValueInfoProto>;
  /** What is fetched, in order. */
  outputs: Map<string, ValueInfoProto>;
  /** What the exporter noted about the values between. */
  valueInfo: Map<string, ValueInfoProto>;
  /** The node that makes a value. */
  producers: Map<string, NodeProto>;
}

/**
 * Indexes a model's graph.
 * @throws {MdiError} model_unsupported for control flow, functions or sparse weights; model_corrupt
 * where a value is missing, made twice or used before it is made.
 */
export function graphOf(model: ModelProto): Graph {
  const proto = model.graph!;
  if (model.functions.length > 0) {
    throw unsupported(`it defines the function ${model.functions[0]!.name} of its own`);
  }
  if (proto.sparseInitializer.length > 0) throw unsupported("it has a sparse initializer");
  const initializers = new Map(proto.initializer.map((tensor) => [tensor.name, tensor]));
  const nodes: NodeProto[] = [];
  for (const node of proto.node) {
    const constant = constantOf(node);
    if (constant) initializers.set(constant.name, constant);
    else nodes.push(node);
  }
  const graph: Graph = {
    nodes,
    initializers,
    inputs: byName(proto.input.filter((input) => !initializers.has(input.name))),
    outputs: byName(proto.output),
    valueInfo: byName([...proto.valueInfo, ...proto.input, ...proto.output]),
    producers: new Map(),
  };
  indexProducers(graph);
  return graph;
}

/** How a message names a node: its operator, its domain where that is not ONNX's, its name. */
export function describeNode(node: NodeProto): string {
  const domain = node.domain === "" || node.domain === "ai.onnx" ? "" : `${node.domain}.`;
  return `${domain}${node.opType}${node.name === "" ? "" : ` "${node.name}"`}`;
}

/** A node's attribute by name. */
export function attribute(node: NodeProto, name: string): AttributeProto | undefined {
  return node.attribute.find((candidate) => candidate.name === name);
}

/** The element type of a value: as declared, else by the node that makes it; 0 where neither says. */
export function elementType(graph: Graph, value: string): number {
  let at: string | undefined = value;
  while (at) {
    const type = graph.valueInfo.get(at)?.type?.value;
    if (type?.case === "tensorType" && type.value.elemType !== 0) return type.value.elemType;
    const constant = graph.initializers.get(at);
    if (constant) return constant.dataType;
    const node = graph.producers.get(at);
    if (!node) return 0;
    if (node.opType === "Shape" || node.opType === "Size") return DataType.INT64;
    if (node.opType === "Cast") return Number(attribute(node, "to")?.i ?? 0);
    at = node.input[TYPE_OF_INPUT.get(node.opType) ?? 0];
  }
  return 0;
}

/** Operators whose output has the type of an input other than the first. */
const TYPE_OF_INPUT = new Map([
  ["DequantizeLinear", 1],
  ["GatherBlockQuantized", 2],
  ["Where", 1],
]);

/** A declared shape: a number, or a symbol's name, for each dimension; undefined where one is open. */
export function declaredShape(graph: Graph, value: string): (number | string)[] | undefined {
  const type = graph.valueInfo.get(value)?.type?.value;
  if (type?.case !== "tensorType" || !type.value.shape) return undefined;
  const shape: (number | string)[] = [];
  for (const { value: dim } of type.value.shape.dim) {
    if (dim.case === "dimValue" && dim.value > 0n) shape.push(Number(dim.value));
    else if (dim.case === "dimParam" && dim.value !== "") shape.push(dim.value);
    else return undefined;
  }
  return shape;
}

function indexProducers(graph: Graph): void {
  const known = (value: string) =>
    value === "" || graph.producers.has(value) || graph.inputs.has(value) ||
    graph.initializers.has(value);
  for (const node of graph.nodes) {
    for (const attribute of node.attribute) {
      if (
        attribute.type === AttributeType.GRAPH || attribute.type === AttributeType.GRAPHS ||
        attribute.g
      ) {
        throw unsupported(`${describeNode(node)} is control flow, which cannot be cut`);
      }
    }
    for (const value of node.input) {
      if (!known(value)) {
        throw corrupt(`${describeNode(node)} reads "${value}", which nothing has made yet`);
      }
    }
    for (const value of node.output) {
      if (value === "") continue;
      if (known(value)) throw corrupt(`${describeNode(node)} makes "${value}" a second time`);
      graph.producers.set(value, node);
    }
  }
  for (const output of graph.outputs.keys()) {
    if (!known(output)) throw corrupt(`nothing makes its output "${output}"`);
  }
}

/** The value of a Constant node as a tensor; undefined for other nodes. */
function constantOf(node: NodeProto): TensorProto | undefined {
  if (node.opType !== "Constant" || node.output.length !== 1) return undefined;
  const name = node.output[0]!;
  const value = node.attribute[0];
  switch (value?.name) {
    case "value":
      return value.t && rawTensor(value.t, name);
    case "value_int":
      return create(TensorProtoSchema, { name, dataType: DataType.INT64, int64Data: [value.i] });
    case "value_ints":
      return create(TensorProtoSchema, {
        name,
        dataType: DataType.INT64,
        dims: [BigInt(value.ints.length)],
        int64Data: value.ints,
      });
    case "value_float":
      return create(TensorProtoSchema, { name, dataType: DataType.FLOAT, floatData: [value.f] });
    case "value_floats":
      return create(TensorProtoSchema, {
        name,
        dataType: DataType.FLOAT,
        dims: [BigInt(value.floats.length)],
        floatData: value.floats,
      });
  }
  return undefined;
}

function byName(values: readonly ValueInfoProto[]): Map<string, ValueInfoProto> {
  return new Map(values.map((value) => [value.name, value]));
}

function unsupported(why: string): MdiError {
  return new MdiError("model_unsupported", `Cannot cut the model: ${why}`);
}

function corrupt(why: string): MdiError {
  return new MdiError("model_corrupt", `Cannot read the model's graph: ${why}`);
}

/**
 * Cuts a decoder into embed, one block per layer, and head. Pure: a graph in, parts of it out. The
 * format and the names of a block's inputs and outputs are those of wasm/block.ts.
 */
import { create } from "@bufbuild/protobuf";
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  type ModelProto,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "../../../wasm/gen/onnx/onnx_pb.ts";
import type { EdgeKind } from "../types.ts";
import { type DecoderInterface, decoderInterface } from "./decoder_interface.ts";
import { extractBlock, own } from "./extract_block.ts";
import { type CutEdge, findEdges } from "./find_edges.ts";
import { declaredShape, type Graph, graphOf } from "./graph.ts";
import { ShapeSources } from "./shape_source.ts";
import { splitSkipNorm } from "./skip_norm.ts";

/** Sizes that the graph need not say. */
export interface SliceSizes {
  /** Width of a hidden row. */
  hidden: number;
  /** Key and value heads. */
  kvHeads: number;
  /** Width of a head. */
  headDim: number;
  /** Length of a row of logits. */
  vocab: number;
}

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

/** A decoder that can be cut. */
export interface SlicedGraph {
  /** The graph that the blocks' initializers are found in. */
  graph: Graph;
  /** Its inputs and outputs. */
  io: DecoderInterface;
  /** Kind of each edge, as in ModelSource. */
  edges: EdgeKind[];
  /** The width of a hidden row, where the graph says it; else 0. */
  hidden: number;
  /** Makes the blocks: embed, layer.0 …, head. */
  blocks(sizes: SliceSizes): BlockSlice[];
}

/**
 * Finds the cuts of a decoder.
 * @throws {MdiError} model_unsupported or model_corrupt, naming what stands in the way.
 */
export function sliceGraph(model: ModelProto): SlicedGraph {
  const graph = graphOf(model);
  const io = decoderInterface(graph);
  if (io.keepInput !== null) keepAllLogits(graph, io.keepInput);
  const edges = findEdges(graph, io);
  for (const edge of edges) separateSum(graph, edge);
  return {
    graph,
    io,
    edges: edges.map((edge) => edge.values.length === 2 ? "f16x2" : "f32"),
    hidden: hiddenWidth(graph, edges),
    blocks: (sizes) => sliceBlocks(graph, io, edges, sizes),
  };
}

/** Zero keeps the logits of every position: which rows the head is given is the caller's choice. */
function keepAllLogits(graph: Graph, name: string): void {
  const rank = declaredShape(graph, name)?.length ?? 0;
  graph.inputs.delete(name);
  graph.initializers.set(
    name,
    create(TensorProtoSchema, {
      name,
      dataType: DataType.INT64,
      dims: Array.from({ length: rank }, () => 1n),
      int64Data: [0n],
    }),
  );
}

/** Where one value crosses inside a fused norm, the norm gives way to a sum and a norm. */
function separateSum(graph: Graph, { skipNorm, values }: CutEdge): void {
  if (!skipNorm || values.length !== 1) return;
  const parts = splitSkipNorm(skipNorm);
  graph.nodes.splice(graph.nodes.indexOf(skipNorm), 1, ...parts);
  for (const part of parts) graph.producers.set(part.output[0]!, part);
}

function hiddenWidth(graph: Graph, edges: readonly CutEdge[]): number {
  for (const value of edges.flatMap((edge) => edge.values)) {
    const width = declaredShape(graph, value)?.at(-1);
    if (typeof width === "number") return width;
  }
  return 0;
}

function sliceBlocks(
  graph: Graph,
  io: DecoderInterface,
  edges: readonly CutEdge[],
  sizes: SliceSizes,
): BlockSlice[] {
  const shapes = new ShapeSources(graph, io, edges);
  const ids = { name: "input_ids", value: "input_ids", type: DataType.INT64, dims: [1, "T"] };
  const sides: Port[] = io.sideInputs.map((name) => ({
    name,
    value: name,
    type: DataType.INT64,
    dims: [1, name === "position_ids" ? "T" : "S"],
  }));
  const cache = (kind: "past" | "present", names: { key: string; value: string }): Port[] =>
    (["key", "value"] as const).map((part) => ({
      name: `${kind}.${part}`,
      value: names[part],
      type: io.cacheType,
      dims: [1, sizes.kvHeads, kind === "past" ? "P" : "S", sizes.headDim],
    }));
  const make = (
    name: string,
    from: CutEdge | null,
    inputs: Port[],
    to: CutEdge | null,
    outputs: Port[],
  ) =>
    sliceBlock(graph, shapes, {
      name,
      from: from && edgePorts(from, "hidden", sizes.hidden),
      inputs,
      to: to && edgePorts(to, "hidden_out", sizes.hidden),
      outputs,
    });

  return [
    make("embed", null, [ids], edges[0]!, []),
    ...io.caches.map(({ past, present }, layer) =>
      make(
        `layer.${layer}`,
        edges[layer]!,
        [...cache("past", past), ...sides],
        edges[layer + 1]!,
        cache("present", present),
      )
    ),
    make("head", edges.at(-1)!, [], null, [{
      name: "logits",
      value: "logits",
      type: outputType(graph, "logits"),
      dims: [1, "T", sizes.vocab],
    }]),
  ];
}

/** An input or output of a block. */
interface Port {
  /** Canonical name. */
  name: string;
  /** Name in the whole graph. */
  value: string;
  /** Element type at the block's door. */
  type: number;
  dims: (number | string)[];
  /** Element type within the graph, where it is another one: a cast stands at the door. */
  inner?: number;
}

interface SliceRequest {
  name: string;
  from: Port[] | null;
  inputs: Port[];
  to: Port[] | null;
  outputs: Port[];
}

/**
 * The tensors of an edge. One f16 value crosses as f32: ONNX Runtime computes f16 in f32 and drops the
 * rounding between two nodes, so a rounding at the edge would be one that the whole graph does not do.
 */
function edgePorts({ values, elementType }: CutEdge, name: string, width: number): Port[] {
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

function sliceBlock(graph: Graph, shapes: ShapeSources, request: SliceRequest): BlockSlice {
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
    inputs: inputs.filter((port) => !OPTIONAL.has(port.name) || read.has(port.name)).map(valueInfo),
    outputs: outputs.map(valueInfo),
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

function valueInfo({ name, type, dims }: Port): ValueInfoProto {
  const dim = dims.map((size) => ({
    value: typeof size === "number"
      ? { case: "dimValue" as const, value: BigInt(size) }
      : { case: "dimParam" as const, value: size },
  }));
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: "tensorType", value: { elemType: type, shape: { dim } } } },
  });
}

function outputType(graph: Graph, name: string): number {
  const type = graph.outputs.get(name)?.type?.value;
  return type?.case === "tensorType" ? type.value.elemType : DataType.FLOAT;
}

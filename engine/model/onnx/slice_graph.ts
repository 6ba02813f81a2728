/**
 * Cuts a decoder into embed, one block per layer, and head. Pure: a graph in, parts of it out. The
 * format and the names of a block's inputs and outputs are those of wasm/block.ts.
 */
import { create } from "@bufbuild/protobuf";
import {
  type ModelProto,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
} from "../../../wasm/gen/onnx/onnx_pb.ts";
import type { EdgeKind } from "../types.ts";
import { type DecoderInterface, decoderInterface } from "./decoder_interface.ts";
import { type CutEdge, findEdges } from "./find_edges.ts";
import { declaredShape, type Graph, graphOf } from "./graph.ts";
import { ShapeSources } from "./shape_source.ts";
import { splitSkipNorm } from "./skip_norm.ts";
import { type BlockSlice, edgePorts, type Port, sliceBlock } from "./slice_block.ts";

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

function outputType(graph: Graph, name: string): number {
  const type = graph.outputs.get(name)?.type?.value;
  return type?.case === "tensorType" ? type.value.elemType : DataType.FLOAT;
}

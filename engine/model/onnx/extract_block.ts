/** Takes one block's nodes out of a graph: all that its outputs need, up to its inputs. */
import { create } from "@bufbuild/protobuf";
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
} from "../../../wasm/gen/onnx/onnx_pb.ts";
import { MdiError } from "../../../wasm/error.ts";
import { attribute, describeNode, type Graph } from "./graph.ts";
import type { ShapeSources } from "./shape_source.ts";

/** What a block is cut from and to. Names with the prefix of {@linkcode own} are the block's own. */
export interface BlockRequest {
  /** Its name, for messages. */
  name: string;
  /** Values of the graph that are the block's inputs, with their canonical names. */
  feeds: ReadonlyMap<string, string>;
  /** Values of the graph that the block gives out. */
  fetches: readonly string[];
  /** The block's input of hidden rows; null for embed. */
  hidden: string | null;
  /** The block's cache of keys; null where it has none. */
  past: string | null;
}

/** A block's part of the graph, under the graph's own names. */
export interface BlockPart {
  /** In topological order. */
  nodes: NodeProto[];
  /** Constants that substitutions brought in. */
  constants: TensorProto[];
}

/** The name of a canonical input or output within a block's nodes before they are renamed. */
export function own(canonical: string): string {
  return `\0mdi:${canonical}`;
}

/**
 * Takes a block out of a graph.
 * @throws {MdiError} model_unsupported where it needs what the block is not given.
 */
export function extractBlock(
  graph: Graph,
  shapes: ShapeSources,
  request: BlockRequest,
): BlockPart {
  const needed = new Map<NodeProto, NodeProto[]>();
  const constants: TensorProto[] = [];
  const wanted: { value: string; by: NodeProto | null }[] = request.fetches.map((value) => ({
    value,
    by: null,
  }));
  for (let next = wanted.pop(); next; next = wanted.pop()) {
    const { value, by } = next;
    if (value === "" || request.feeds.has(value) || graph.initializers.has(value)) continue;
    const node = graph.producers.get(value);
    if (!node) throw outOfReach(request, value, by);
    if (needed.has(node)) continue;
    const substitute = shapeSubstitute(node, shapes, request, constants);
    needed.set(node, substitute ?? [node]);
    if (!substitute) wanted.push(...node.input.map((input) => ({ value: input, by: node })));
  }
  return { nodes: graph.nodes.flatMap((node) => needed.get(node) ?? []), constants };
}

/** A Shape node that reads an input of the block instead; undefined where it can stay as it is. */
function shapeSubstitute(
  node: NodeProto,
  shapes: ShapeSources,
  request: BlockRequest,
  constants: TensorProto[],
): NodeProto[] | undefined {
  if (node.opType !== "Shape" || request.feeds.has(node.input[0]!)) return undefined;
  const source = shapes.of(node.input[0]!);
  if (source === "past" && request.past !== null) {
    return [shapeOf(request.past, node, node.output[0]!)];
  }
  if (request.hidden === null || source === undefined || source === "past") return undefined;
  if (source === "hidden") return [shapeOf(request.hidden, node, node.output[0]!)];

  const [start, end] = [bound(node, "start", 0), bound(node, "end", 2)];
  const indices = [0n, 1n].slice(start, end);
  const whole = `${node.output[0]}\0whole`;
  const index = `${node.output[0]}\0index`;
  constants.push(
    create(TensorProtoSchema, {
      name: index,
      dataType: DataType.INT64,
      dims: [BigInt(indices.length)],
      int64Data: indices,
    }),
  );
  return [
    create(NodeProtoSchema, { opType: "Shape", input: [request.hidden], output: [whole] }),
    create(NodeProtoSchema, {
      opType: "Gather",
      input: [whole, index],
      output: [node.output[0]!],
      attribute: [create(AttributeProtoSchema, { name: "axis", type: AttributeType.INT, i: 0n })],
    }),
  ];
}

function shapeOf(input: string, like: NodeProto, output: string): NodeProto {
  return create(NodeProtoSchema, {
    opType: "Shape",
    input: [input],
    output: [output],
    attribute: like.attribute,
  });
}

function bound(node: NodeProto, name: string, otherwise: number): number {
  const given = attribute(node, name);
  return given ? Number(given.i) : otherwise;
}

function outOfReach(request: BlockRequest, value: string, by: NodeProto | null): MdiError {
  const reader = by ? describeNode(by) : "its output";
  return new MdiError(
    "model_unsupported",
    `Cannot cut the model: ${reader} makes block ${request.name} depend on ${value}`,
    { details: { block: request.name, value } },
  );
}

/**
 * Finds where a decoder can be cut, by structure alone.
 *
 * Look at the values that token ids reach (a mask or a shape read off them is not one: it carries no
 * token). Say that a value has level i when the cache of layer i is the last that reaches it. A value
 * that lies on every path from the ids to all values of a level above i, and has level i itself,
 * separates layer i from the next: it is a dominator of all of them. There are two per layer, the
 * residual stream after the attention and after the MLP; the last one is the edge. Before the head it is
 * the last sum of two such values, because norm and output product are a chain of dominators too.
 */
import {
  type NodeProto,
  TensorProto_DataType as DataType,
} from "../../../wasm/gen/onnx/onnx_pb.ts";
import { MdiError } from "../../../wasm/error.ts";
import type { DecoderInterface } from "./decoder_interface.ts";
import { DominatorTree } from "./dominators.ts";
import { describeNode, elementType, type Graph } from "./graph.ts";
import { dataTypeName } from "./tensor_type.ts";
import { isSkipNorm, skipBias, skipSum } from "./skip_norm.ts";

/** A place between two blocks. */
export interface CutEdge {
  /** The value that crosses, or for "f16x2" the two whose sum it is. */
  values: readonly string[];
  /** FLOAT or FLOAT16. */
  elementType: number;
  /** The fused norm that makes the sum, where the edge lies inside one. */
  skipNorm: NodeProto | null;
}

interface Flow {
  /** Highest layer whose cache reaches a value; -1 for none. */
  level: Map<string, number>;
  /** Values that depend on a mask, a position or a cache in any way, by a shape as well. */
  sided: Set<string>;
  /** Values that ids reach. */
  tree: DominatorTree<string>;
  /** Values that are the sum of two values that ids reach. */
  sums: Set<string>;
}

/**
 * Finds the edges: 0 is the input of layer 0, the last one that of the head.
 * @throws {MdiError} model_unsupported where no single value separates two layers.
 */
export function findEdges(graph: Graph, io: DecoderInterface): CutEdge[] {
  const flow = traceFlow(graph, io);
  const layers = io.caches.length;
  const above: string[][] = Array.from({ length: layers }, () => []);
  for (const [value, level] of flow.level) {
    if (level >= 0 && flow.tree.has(value)) above[level]!.push(value);
  }
  const edges: CutEdge[] = [];
  let root: string | undefined;
  for (let layer = layers - 1; layer >= 0; layer--) {
    for (const value of above[layer]!) {
      root = root === undefined ? value : flow.tree.common(root, value);
    }
    if (root === undefined) throw unsupported(`layer ${layer}'s cache never meets the token ids`);
    edges.unshift(edgeAt(graph, separator(flow, root, layer)));
  }
  edges.push(headEdge(graph, flow, layers));
  return edges;
}

function traceFlow(graph: Graph, io: DecoderInterface): Flow {
  const level = new Map<string, number>();
  const sided = new Set<string>(io.sideInputs);
  io.caches.forEach(({ past }, layer) => {
    for (const name of [past.key, past.value]) {
      level.set(name, layer);
      sided.add(name);
    }
  });
  const tree = new DominatorTree("input_ids");
  const sums = new Set<string>();
  const link = (inputs: readonly string[], outputs: readonly string[], isSum: boolean) => {
    const reached = [...new Set(inputs)].filter((value) => tree.has(value));
    const highest = Math.max(-1, ...inputs.map((value) => level.get(value) ?? -1));
    for (const output of outputs) {
      if (output === "") continue;
      level.set(output, highest);
      if (reached.length > 0) tree.add(output, reached);
      if (isSum && reached.length > 1) sums.add(output);
    }
  };
  for (const node of graph.nodes) {
    if (node.input.some((value) => sided.has(value))) {
      node.output.forEach((value) => sided.add(value));
    }
    if (node.opType === "Shape" || node.opType === "Size") continue;
    if (isSkipNorm(node)) {
      const sum = skipSum(node);
      if (node.input.some((value) => sided.has(value))) sided.add(sum);
      link([node.input[0]!, node.input[1]!], [sum], true);
      link([sum, ...node.input.slice(2)], node.output.filter((value) => value !== sum), false);
    } else {
      link(node.input, node.output, node.opType === "Add" || node.opType === "Sum");
    }
  }
  return { level, sided, tree, sums };
}

/** The last value that dominates `root` and belongs to the layer before `layer`. */
function separator(flow: Flow, root: string, layer: number): string {
  for (const value of flow.tree.chain(root)) {
    const level = flow.level.get(value) ?? -1;
    if (level >= layer) continue;
    if (level < layer - 1) break;
    // Embeddings of positions belong to layer 0: the embed block is given ids only.
    if (layer === 0 && flow.sided.has(value)) continue;
    if (value === "input_ids") break;
    return value;
  }
  throw unsupported(
    layer === 0
      ? "no single value separates the embedding from layer 0"
      : `no single value separates the attention of layer ${layer - 1} from that of layer ${layer}`,
  );
}

/**
 * The edge before the head: the last residual sum. In f16 it is the input of the output product, so that
 * the last norm stays with the sum: ONNX Runtime fuses that norm with a cast that comes right before it,
 * and the fusion rounds otherwise.
 */
function headEdge(graph: Graph, flow: Flow, layers: number): CutEdge {
  if (!flow.tree.has("logits")) throw unsupported("the logits do not depend on input_ids");
  const products = new Set(graph.nodes.filter(isProduct).flatMap((node) => node.input));
  let productInput: string | undefined;
  for (const value of flow.tree.chain("logits")) {
    if (products.has(value)) productInput ??= value;
    if (!flow.sums.has(value)) continue;
    if (flow.level.get(value) !== layers - 1) break;
    const edge = edgeAt(graph, value);
    const halfSum = edge.elementType === DataType.FLOAT16 && edge.values.length === 1;
    return halfSum && productInput !== undefined ? edgeAt(graph, productInput) : edge;
  }
  throw unsupported(`no residual sum after layer ${layers - 1} leads to the logits`);
}

function isProduct(node: NodeProto): boolean {
  return node.opType === "Gemm" || node.opType.startsWith("MatMul");
}

function edgeAt(graph: Graph, value: string): CutEdge {
  const producer = graph.producers.get(value) ??
    graph.nodes.find((node) => isSkipNorm(node) && skipSum(node) === value);
  const skipNorm = producer && isSkipNorm(producer) && skipSum(producer) === value
    ? producer
    : null;
  const type = elementType(graph, skipNorm ? skipNorm.input[0]! : value);
  if (type !== DataType.FLOAT && type !== DataType.FLOAT16) {
    throw unsupported(
      `"${value}", which would cross between two blocks, is ${
        dataTypeName(type)
      }, not FLOAT or FLOAT16`,
    );
  }
  if (skipNorm && type === DataType.FLOAT16) {
    // The sum alone would lose the rounding that the fused norm does not do.
    if (skipBias(skipNorm) !== "") {
      throw unsupported(`${describeNode(skipNorm)} between two blocks has a bias in FLOAT16`);
    }
    return { values: [skipNorm.input[0]!, skipNorm.input[1]!], elementType: type, skipNorm };
  }
  return { values: [value], elementType: type, skipNorm };
}

function unsupported(why: string): MdiError {
  return new MdiError("model_unsupported", `Cannot cut the model: ${why}`);
}

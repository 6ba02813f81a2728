/**
 * ONNX Runtime's fused residual sum and norm (com.microsoft, SkipSimplifiedLayerNormalization and
 * SkipLayerNormalization): output 0 is norm(input + skip [+ bias]), output 3 the sum itself.
 */
import { create } from "@bufbuild/protobuf";
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  type NodeProto,
  NodeProtoSchema,
} from "../../../wasm/gen/onnx/onnx_pb.ts";
import { attribute } from "./graph.ts";

const SIMPLIFIED = "SkipSimplifiedLayerNormalization";

/** Whether a node is such a fusion. */
export function isSkipNorm(node: NodeProto): boolean {
  return node.domain === "com.microsoft" &&
    (node.opType === SIMPLIFIED || node.opType === "SkipLayerNormalization");
}

/** The name of the sum, also where the node does not give it out. */
export function skipSum(node: NodeProto): string {
  return node.output[3] || `${node.output[0]}\0sum`;
}

/** The bias that is added to the sum; empty for none. */
export function skipBias(node: NodeProto): string {
  return node.input[node.opType === SIMPLIFIED ? 3 : 4] ?? "";
}

/**
 * Writes a fusion as its parts, in its own order of additions: the same arithmetic, bit for bit in
 * f32, and the sum becomes a value between two nodes.
 */
export function splitSkipNorm(node: NodeProto): NodeProto[] {
  const sum = skipSum(node);
  const bias = skipBias(node);
  const partial = bias === "" ? sum : `${sum}\0partial`;
  const nodes = [add(node.input[0]!, node.input[1]!, partial)];
  if (bias !== "") nodes.push(add(partial, bias, sum));
  const simplified = node.opType === SIMPLIFIED;
  const parameters = simplified ? [node.input[2]!] : [node.input[2]!, node.input[3] ?? ""];
  const epsilon = attribute(node, "epsilon");
  nodes.push(create(NodeProtoSchema, {
    opType: simplified ? "SimplifiedLayerNormalization" : "LayerNormalization",
    name: node.name,
    input: [sum, ...parameters],
    output: [node.output[0]!],
    attribute: [
      create(AttributeProtoSchema, { name: "axis", type: AttributeType.INT, i: -1n }),
      create(AttributeProtoSchema, { name: "stash_type", type: AttributeType.INT, i: 1n }),
      ...(epsilon ? [epsilon] : []),
    ],
  }));
  return nodes;
}

function add(a: string, b: string, output: string): NodeProto {
  return create(NodeProtoSchema, { opType: "Add", input: [a, b], output: [output] });
}

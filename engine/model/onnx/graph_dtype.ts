/** Tells what an export holds from its graph, where its file's name does not. */
import { TensorProto_DataType as DataType } from "../../../wasm/gen/onnx/onnx_pb.ts";
import type { Graph } from "./graph.ts";
import type { OnnxDtype } from "./model_files.ts";

const INT8_PRODUCTS = new Set(["MatMulInteger", "DynamicQuantizeMatMul"]);

/** The dtype whose products the graph is made of. */
export function graphDtype(graph: Graph): OnnxDtype {
  const operators = new Set(graph.nodes.map((node) => node.opType));
  const half = [...graph.initializers.values()].some(({ dataType }) =>
    dataType === DataType.FLOAT16
  );
  if (operators.has("MatMulNBits")) return half ? "q4f16" : "q4";
  if ([...INT8_PRODUCTS].some((operator) => operators.has(operator))) return "q8";
  return half ? "fp16" : "fp32";
}

/** A layer of a small Qwen3-like decoder as mdi's emitter writes it, to be spoilt by tests. */
import type { ModelProto, TensorProto } from "../gen/onnx/onnx_pb.ts";
import { TensorProto_DataType as DataType } from "../gen/onnx/onnx_pb.ts";
import { rowBytes } from "../gguf/types.ts";
import {
  external,
  floats,
  graphModel,
  type GraphParts,
  integers,
  type NodeList,
} from "./_graph.ts";

/** Sizes of the layer. */
export const SIZES = { dModel: 64, heads: 4, kvHeads: 2, headDim: 16, mlp: 96, positions: 128 };

/** The parts of a layer block; `spoil` changes them before the graph is made. */
export function layerModel(spoil: (parts: GraphParts) => void = () => {}): ModelProto {
  const parts = layerParts();
  spoil(parts);
  return graphModel(parts);
}

/** The node that makes a value. */
export function nodeOf(parts: GraphParts, value: string): NodeList[number] {
  return parts.nodes.find(([, , outputs]) => outputs.includes(value))!;
}

function layerParts(): GraphParts {
  const { dModel, heads, kvHeads, headDim, mlp, positions } = SIZES;
  const constants: TensorProto[] = [];
  const nodes: NodeList = [];
  let offset = 0;
  const linear = (name: string, x: string, n: number, k: number) => {
    const row = rowBytes("Q4_0", k);
    constants.push(external(`${name}.weight`, DataType.UINT8, [n, row], n * row, { offset }));
    offset += n * row;
    nodes.push(["mdi.MatMulGguf", [x, `${name}.weight`], [name], { type: "Q4_0", K: k, N: n }]);
  };
  const norm = (name: string, x: string, length: number) => {
    constants.push(floats(`${name}.weight`, [length], new Array(length).fill(1)));
    nodes.push([
      "SimplifiedLayerNormalization",
      [x, `${name}.weight`],
      [name],
      { axis: -1, epsilon: { float: 1e-5 } },
    ]);
  };
  const headNorm = (name: string, x: string) => {
    nodes.push(["Reshape", [x, "split"], [`${name}.heads`]]);
    norm(`${name}.each`, `${name}.heads`, headDim);
    nodes.push(["Shape", [x], [`${name}.shape`]]);
    nodes.push(["Reshape", [`${name}.each`, `${name}.shape`], [name]]);
  };
  constants.push(integers("one", [1], [1]), integers("axis", [], [1]));
  constants.push(integers("split", [3], [0, -1, headDim]));
  const table = 4 * positions * headDim / 2;
  for (const [i, name] of ["cos", "sin"].entries()) {
    constants.push(
      external(name, DataType.FLOAT, [positions, headDim / 2], table, {
        location: "shared",
        offset: i * table,
      }),
    );
  }
  norm("normed", "hidden", dModel);
  linear("query", "normed", heads * headDim, dModel);
  linear("key", "normed", kvHeads * headDim, dModel);
  linear("value", "normed", kvHeads * headDim, dModel);
  headNorm("q_norm", "query");
  headNorm("k_norm", "key");
  nodes.push(
    ["ReduceSum", ["attention_mask", "one"], ["sum"], { keepdims: 0 }],
    ["Sub", ["sum", "one"], ["last"]],
    ["Cast", ["last"], ["seqlens"], { to: DataType.INT32 }],
    ["Shape", ["attention_mask"], ["mask_shape"]],
    ["Gather", ["mask_shape", "axis"], ["columns"]],
    ["Cast", ["columns"], ["total"], { to: DataType.INT32 }],
    [
      "com.microsoft.GroupQueryAttention",
      ["q_norm", "k_norm", "value", "past.key", "past.value", "seqlens", "total", "cos", "sin"],
      ["attended", "present.key", "present.value"],
      { num_heads: heads, kv_num_heads: kvHeads, do_rotary: 1, scale: { float: 0.25 } },
    ],
  );
  linear("projected", "attended", dModel, heads * headDim);
  nodes.push(["Add", ["hidden", "projected"], ["between"]]);
  norm("normed2", "between", dModel);
  linear("gate", "normed2", mlp, dModel);
  linear("up", "normed2", mlp, dModel);
  nodes.push(
    ["Sigmoid", ["gate"], ["sigmoid"]],
    ["Mul", ["gate", "sigmoid"], ["silu"]],
    ["Mul", ["silu", "up"], ["gated"]],
  );
  linear("down", "gated", dModel, mlp);
  nodes.push(["Add", ["between", "down"], ["hidden_out"]]);
  return {
    inputs: {
      "hidden": [1, null, dModel],
      "attention_mask": [1, null],
      "past.key": [1, kvHeads, null, headDim],
      "past.value": [1, kvHeads, null, headDim],
    },
    outputs: ["hidden_out", "present.key", "present.value"],
    nodes,
    constants,
  };
}

import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
  type ValueInfoProto,
} from "../../../wasm/gen/onnx/onnx_pb.ts";
import { MdiError } from "../../../wasm/error.ts";
import { valueInfo } from "../value_info.ts";
import { readOnnxFile } from "./read_onnx_file.ts";
import type { BlockSlice } from "./slice_block.ts";
import { type SlicedGraph, sliceGraph } from "./slice_graph.ts";

const FIXTURES = fileURLToPath(new URL("../../../tests/fixtures/tiny-llama-tied", import.meta.url));
const SIZES = { hidden: 64, kvHeads: 2, headDim: 16, vocab: 512 };

async function sliced(file: string): Promise<SlicedGraph> {
  return sliceGraph((await readOnnxFile(join(FIXTURES, file))).model);
}

function names(values: readonly ValueInfoProto[]): string[] {
  return values.map(({ name }) => name);
}

function count(slice: BlockSlice, operator: string): number {
  return slice.nodes.filter(({ opType }) => opType === operator).length;
}

Deno.test("sliceGraph() gives blocks their canonical inputs and outputs", async () => {
  for (const file of ["onnx/model.onnx", "onnx_raw/model.onnx", "genai-int4/model.onnx"]) {
    const { blocks, edges } = await sliced(file);
    const sides = file.startsWith("genai")
      ? ["attention_mask"]
      : ["attention_mask", "position_ids"];
    const [embed, ...rest] = blocks(SIZES);
    const head = rest.pop()!;
    assertEquals(edges, ["f32", "f32", "f32", "f32", "f32"]);
    assertEquals(names(embed!.inputs), ["input_ids"]);
    assertEquals(names(embed!.outputs), ["hidden_out"]);
    assertEquals(rest.map(({ name }) => name), ["layer.0", "layer.1", "layer.2", "layer.3"]);
    for (const layer of rest) {
      assertEquals(names(layer.inputs), ["hidden", "past.key", "past.value", ...sides]);
      assertEquals(names(layer.outputs), ["hidden_out", "present.key", "present.value"]);
    }
    assertEquals(names(head.inputs), ["hidden"]);
    assertEquals(names(head.outputs), ["logits"]);
  }
});

Deno.test("sliceGraph() puts exactly one attention and one MLP into each layer", async () => {
  for (const layer of (await sliced("onnx/model.onnx")).blocks(SIZES).slice(1, -1)) {
    assertEquals(count(layer, "Softmax"), 1);
    assertEquals(count(layer, "Sigmoid"), 1);
    // q, k, v, o, gate, up, down; scores, mix; rotary angles
    assertEquals(count(layer, "MatMul"), 10);
  }
});

Deno.test("sliceGraph() splits the fused norm at an f32 edge only", async () => {
  const [embed, ...rest] = (await sliced("genai-fp32/model.onnx")).blocks(SIZES);
  const head = rest.pop()!;
  assertEquals(count(embed!, "Add"), 0);
  for (const layer of rest) {
    assertEquals(count(layer, "SkipSimplifiedLayerNormalization"), 1);
    assertEquals(count(layer, "SimplifiedLayerNormalization"), 1);
    assertEquals(count(layer, "Add"), 1);
  }
  assertEquals(head.nodes.map(({ opType }) => opType), ["SimplifiedLayerNormalization", "MatMul"]);
});

Deno.test("sliceGraph() lets two f16 tensors cross where the sum is fused, and f32 elsewhere", async () => {
  const fused = await sliced("genai-webgpu-fp16/model.onnx");
  assertEquals(fused.edges, ["f32", "f16x2", "f16x2", "f16x2", "f16x2"]);
  const [, first, second] = fused.blocks(SIZES);
  assertEquals(names(first!.inputs)[0], "hidden");
  assertEquals(names(first!.outputs).slice(0, 2), ["hidden_out.0", "hidden_out.1"]);
  assertEquals(names(second!.inputs).slice(0, 2), ["hidden.0", "hidden.1"]);
  assertEquals(count(second!, "SkipSimplifiedLayerNormalization"), 2);
  const loose = await sliced("onnx/model_fp16.onnx");
  assertEquals(loose.edges, ["f32", "f32", "f32", "f32", "f32"]);
  assertEquals(
    loose.blocks(SIZES).at(-1)!.nodes.map(({ opType }) => opType),
    ["Cast", "MatMul", "Cast"],
    "the last norm stays with the sum",
  );
});

Deno.test("sliceGraph() reads shapes off a block's own inputs", async () => {
  for (const layer of (await sliced("onnx/model.onnx")).blocks(SIZES).slice(1, -1)) {
    for (const { input } of layer.nodes) {
      for (const value of input) assertFalse(/^(input_ids|logits)$/.test(value), value);
    }
    const layerIndex = layer.name.split(".")[1];
    const pasts = layer.nodes.flatMap(({ input }) => input)
      .filter((value) => value.startsWith("past_key_values."));
    assert(pasts.every((value) => value.startsWith(`past_key_values.${layerIndex}.`)));
  }
});

/** A decoder of one layer whose attention is a sum: just enough to be cut, and to be spoilt. */
function tinyDecoder(spoil: (parts: Parts) => void = () => {}): ModelProto {
  const parts: Parts = {
    inputs: [
      valueInfo("input_ids", DataType.INT64, [1, "T"]),
      valueInfo("attention_mask", DataType.INT64, [1, "S"]),
      valueInfo("past_key_values.0.key", DataType.FLOAT, [1, 1, "P", 4]),
      valueInfo("past_key_values.0.value", DataType.FLOAT, [1, 1, "P", 4]),
    ],
    outputs: [
      valueInfo("logits", DataType.FLOAT, [1, "T", 8]),
      valueInfo("present.0.key", DataType.FLOAT, [1, 1, "S", 4]),
      valueInfo("present.0.value", DataType.FLOAT, [1, 1, "S", 4]),
    ],
    nodes: [
      ["Gather", ["table", "input_ids"], ["x"]],
      ["Concat", ["past_key_values.0.key", "x"], ["present.0.key"]],
      ["Concat", ["past_key_values.0.value", "x"], ["present.0.value"]],
      ["MatMul", ["present.0.key", "present.0.value"], ["attention"]],
      ["Add", ["x", "attention"], ["y"]],
      ["Sigmoid", ["y"], ["mlp"]],
      ["Add", ["y", "mlp"], ["z"]],
      ["MatMul", ["z", "table"], ["logits"]],
    ],
  };
  spoil(parts);
  return create(ModelProtoSchema, {
    graph: {
      input: parts.inputs,
      output: parts.outputs,
      initializer: [
        create(TensorProtoSchema, {
          name: "table",
          dims: [8n, 4n],
          dataType: DataType.FLOAT,
          rawData: new Uint8Array(128),
        }),
      ],
      node: parts.nodes.map(([opType, input, output], i) =>
        create(NodeProtoSchema, { opType, name: `n${i}`, input, output })
      ),
    },
  });
}

interface Parts {
  inputs: ValueInfoProto[];
  outputs: ValueInfoProto[];
  nodes: [string, string[], string[]][];
}

Deno.test("sliceGraph() cuts a decoder of one layer by structure", () => {
  const { blocks, io } = sliceGraph(tinyDecoder());
  const slices = blocks({ hidden: 4, kvHeads: 1, headDim: 4, vocab: 8 });
  assertEquals(
    slices.map(({ nodes }) => nodes.map(({ opType }) => opType)),
    [["Gather"], ["Concat", "Concat", "MatMul", "Add", "Sigmoid", "Add"], ["MatMul"]],
  );
  assertEquals(io.kvHeads, 1);
  assertEquals(names(slices[1]!.inputs), ["hidden", "past.key", "past.value"]);
});

Deno.test("sliceGraph() keeps all logits where the graph asks how many", () => {
  const model = tinyDecoder(({ inputs, nodes }) => {
    inputs.push(valueInfo("num_logits_to_keep", DataType.INT64, []));
    nodes.splice(-1, 1, ["Neg", ["num_logits_to_keep"], ["first"]], ["Slice", ["z", "first"], [
      "kept",
    ]], ["MatMul", ["kept", "table"], ["logits"]]);
  });
  const { graph, blocks } = sliceGraph(model);
  assertEquals(graph.initializers.get("num_logits_to_keep")!.int64Data, [0n]);
  const head = blocks({ hidden: 4, kvHeads: 1, headDim: 4, vocab: 8 }).at(-1)!;
  assertEquals(head.nodes.map(({ opType }) => opType), ["Neg", "Slice", "MatMul"]);
});

Deno.test("sliceGraph() refuses what cannot be cut and names it", async (t) => {
  const cases: [string, MdiError["code"], string, (parts: Parts) => void][] = [
    ["no cache", "model_unsupported", "no KV inputs", ({ inputs, outputs, nodes }) => {
      inputs.splice(2);
      outputs.splice(1);
      nodes.splice(1, 3, ["MatMul", ["x", "x"], ["attention"]]);
    }],
    ["an encoder-decoder", "model_unsupported", "encoder_hidden_states", ({ inputs }) => {
      inputs.push(valueInfo("encoder_hidden_states", DataType.FLOAT, [1, "E", 4]));
    }],
    ["a cache of a decoder and an encoder", "model_unsupported", "decoder.key", ({ inputs }) => {
      inputs.push(valueInfo("past_key_values.0.decoder.key", DataType.FLOAT, [1, 1, "P", 4]));
    }],
    ["embeddings as input", "model_unsupported", "inputs_embeds", ({ inputs }) => {
      inputs.push(valueInfo("inputs_embeds", DataType.FLOAT, [1, "T", 4]));
    }],
    ["an input that is not known", "model_unsupported", "beam_idx", ({ inputs }) => {
      inputs.push(valueInfo("beam_idx", DataType.INT64, [1]));
    }],
    [
      "a missing value cache",
      "model_unsupported",
      "past value for layer 0",
      ({ inputs, nodes, outputs }) => {
        inputs.splice(3, 1);
        outputs.splice(2, 1);
        nodes.splice(2, 2, ["MatMul", ["present.0.key", "x"], ["attention"]]);
      },
    ],
    ["an int32 mask", "model_unsupported", "INT32", ({ inputs }) => {
      inputs[1] = valueInfo("attention_mask", DataType.INT32, [1, "S"]);
    }],
    ["a bfloat16 cache", "model_unsupported", "BFLOAT16", ({ inputs }) => {
      inputs[2] = valueInfo("past_key_values.0.key", DataType.BFLOAT16, [1, 1, "P", 4]);
    }],
    [
      "logits that leave the sums",
      "model_unsupported",
      "no residual sum after layer 0",
      ({ nodes }) => {
        nodes[6] = ["Mul", ["y", "mlp"], ["z"]];
        nodes[4] = ["Mul", ["x", "attention"], ["y"]];
      },
    ],
    ["a layer that reads the ids", "model_unsupported", "depend on input_ids", ({ nodes }) => {
      nodes.splice(3, 0, ["Size", ["input_ids"], ["n"]]);
      nodes[4]![1].push("n");
    }],
    ["a value that nothing makes", "model_corrupt", "nowhere", ({ nodes }) => {
      nodes[3]![1].push("nowhere");
    }],
    ["a value made twice", "model_corrupt", "second time", ({ nodes }) => {
      nodes.push(["Neg", ["x"], ["y"]]);
    }],
  ];
  for (const [name, code, words, spoil] of cases) {
    await t.step(name, () => {
      const error = assertThrows(
        () => {
          sliceGraph(tinyDecoder(spoil)).blocks({ hidden: 4, kvHeads: 1, headDim: 4, vocab: 8 });
        },
        MdiError,
        words,
      );
      assertEquals(error.code, code);
    });
  }
  await t.step("control flow", () => {
    const model = tinyDecoder();
    model.graph!.node[5]!.attribute.push(
      create(AttributeProtoSchema, { name: "then_branch", type: AttributeType.GRAPH }),
    );
    assertThrows(() => sliceGraph(model), MdiError, "Sigmoid");
  });
});

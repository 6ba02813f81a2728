import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MdiError } from "../error.ts";
import { TensorProto_DataType as DataType } from "../gen/onnx/onnx_pb.ts";
import { external, floats, type GraphParts } from "./_graph.ts";
import { layerModel, nodeOf, SIZES } from "./_layer_graph.ts";
import type { DecoderLayer } from "./decoder.ts";
import { recogniseBlock, recogniseStage } from "./recognise.ts";

function layer(spoil?: (parts: GraphParts) => void): DecoderLayer {
  const block = recogniseBlock("layer.0", layerModel(spoil));
  assertEquals(block.kind, "layer", "reason" in block ? block.reason : undefined);
  return block as DecoderLayer;
}

function reason(spoil: (parts: GraphParts) => void): string {
  const block = recogniseBlock("layer.0", layerModel(spoil));
  return block.kind === "unrecognised" ? block.reason : `it was recognised as a ${block.kind}`;
}

Deno.test("recogniseBlock() reads a layer's dimensions and places", () => {
  const found = layer();
  const { heads, kvHeads, headDim, dModel, positions } = SIZES;
  assertEquals([found.heads, found.kvHeads, found.headDim, found.dModel], [
    heads,
    kvHeads,
    headDim,
    dModel,
  ]);
  assertEquals([found.scale, found.window], [0.25, null]);
  assertEquals(found.qkv.map(({ weight }) => weight.n), [64, 32, 32]);
  assertEquals(found.qkv[1]!.weight.sources, [
    { block: "layer.0", offset: 64 * 36, length: 32 * 36 },
  ]);
  assertEquals(found.queryNorm?.weight.length, headDim);
  assertEquals(found.rope, {
    type: "table",
    positions,
    half: 8,
    cos: { length: 1024, dtype: "f32", source: { block: "shared", offset: 0, length: 4096 } },
    sin: { length: 1024, dtype: "f32", source: { block: "shared", offset: 4096, length: 4096 } },
  });
});

Deno.test("recogniseBlock() sees what differs and keeps meaning", () => {
  const attribute = (value: string, key: string, to: number | { float: number }) =>
    layer((parts) => void (nodeOf(parts, value)[3]![key] = to));
  assertEquals(attribute("attended", "scale", { float: 0.5 }).scale, 0.5);
  assertEquals(attribute("attended", "scale", { float: 0 }).scale, 0.25, "the operator's own");
  assertEquals(attribute("attended", "local_window_size", 8).window, 8);
  assertEquals(attribute("normed2", "epsilon", { float: 0.5 }).postNorm.epsilon, 0.5);
  const swapped = layer((parts) => {
    for (const value of ["hidden_out", "between", "silu", "gated"]) {
      nodeOf(parts, value)[1].reverse();
    }
  });
  assertEquals(swapped, layer());
});

Deno.test("recogniseBlock() finds biases, fused sums and SiLU as one operator", () => {
  const biased = layer((parts) => {
    parts.constants.push(floats("bias", [32], new Array(32).fill(2)));
    const node = nodeOf(parts, "value");
    node[2] = ["product"];
    parts.nodes.splice(parts.nodes.indexOf(node) + 1, 0, ["Add", ["product", "bias"], ["value"]]);
  });
  assertEquals(biased.qkv.map(({ bias }) => bias?.length), [undefined, undefined, 32]);
  const fused = layer((parts) => {
    const at = parts.nodes.indexOf(nodeOf(parts, "between"));
    parts.nodes.splice(at, 2, [
      "com.microsoft.SkipSimplifiedLayerNormalization",
      ["hidden", "projected", "normed2.weight"],
      ["normed2", "", "", "between"],
      { epsilon: { float: 1e-5 } },
    ]);
  });
  assertEquals(fused, layer());
  const swish = layer((parts) => {
    const at = parts.nodes.indexOf(nodeOf(parts, "sigmoid"));
    parts.nodes.splice(at, 2, ["com.microsoft.QuickGelu", ["gate"], ["silu"], {
      alpha: { float: 1 },
    }]);
  });
  assertEquals(swish, layer());
});

/** Moves the rotation out of the attention. */
function rotateBefore(parts: GraphParts): void {
  parts.inputs["position_ids"] = [1, null];
  const attention = nodeOf(parts, "attended");
  attention[3]!["do_rotary"] = 0;
  const at = parts.nodes.indexOf(attention);
  const rotate = (x: string, y: string): GraphParts["nodes"][number] => [
    "com.microsoft.RotaryEmbedding",
    [x, "position_ids", "cos", "sin"],
    [y],
    { interleaved: 0 },
  ];
  const [query, key] = attention[1];
  parts.nodes.splice(at, 0, rotate(query!, "query_rotated"), rotate(key!, "key_rotated"));
  attention[1] = ["query_rotated", "key_rotated", ...attention[1].slice(2, 7)];
}

Deno.test("recogniseBlock() finds a rotation before the attention", () => {
  assertEquals(layer(rotateBefore), layer());
});

Deno.test("recogniseBlock() says what it does not know", async (t) => {
  const set = (value: string, key: string, to: number | { float: number }) => (parts: GraphParts) =>
    void (nodeOf(parts, value)[3]![key] = to);
  const rename = (value: string, operator: string) => (parts: GraphParts) =>
    void (nodeOf(parts, value)[0] = operator);
  const input = (value: string, index: number, to: string) => (parts: GraphParts) =>
    void (nodeOf(parts, value)[1][index] = to);
  const cases: [string, (parts: GraphParts) => void, string][] = [
    ["softcap", set("attended", "softcap", { float: 30 }), "has a softcap of 30 in its attention"],
    ["smooth softmax", set("attended", "smooth_softmax", 1), "smooth softmax"],
    ["interleaved rotation", set("attended", "rotary_interleaved", 1), "neighbouring values"],
    ["an empty window", set("attended", "local_window_size", 0), "window of no positions"],
    ["no rotation", set("attended", "do_rotary", 0), "does not rotate"],
    ["positions of its own", (parts) => {
      rotateBefore(parts);
      parts.nodes.unshift(["Neg", ["position_ids"], ["positions"]]);
      for (const value of ["query_rotated", "key_rotated"]) {
        nodeOf(parts, value)[1][1] = "positions";
      }
    }, "computes the positions that it rotates by"],
    ["neighbours rotated before", (parts) => {
      rotateBefore(parts);
      nodeOf(parts, "key_rotated")[3]!["interleaved"] = 1;
    }, "does not rotate"],
    ["an odd number of narrow heads", ({ inputs, nodes, constants }) => {
      inputs["past.key"] = inputs["past.value"] = [1, 1, null, 8];
      const node = nodes.find(([name]) => name.endsWith("Attention"))!;
      Object.assign(node[3]!, { num_heads: 8, kv_num_heads: 1 });
      node[1].splice(0, 2, "query", "key");
      for (const name of ["key", "value"]) {
        nodes.find(([, , outputs]) => outputs[0] === name)![3]!["N"] = 8;
        const at = constants.findIndex((tensor) => tensor.name === `${name}.weight`);
        constants[at] = external(`${name}.weight`, DataType.UINT8, [8, 36], 8 * 36);
      }
      for (const name of ["cos", "sin"]) {
        const at = constants.findIndex((tensor) => tensor.name === name);
        constants[at] = external(name, DataType.FLOAT, [128, 4], 128 * 16);
      }
    }, "8 outputs, which is no multiple of 16"],
    ["a quantised cache", set("attended", "kv_cache_bit_width", 8), "kv_cache_bit_width 8"],
    ["a bias of scores", ({ inputs, nodes }) => {
      inputs["bias"] = [1];
      nodes.find(([name]) => name.endsWith("Attention"))![1].push("", "bias");
    }, "an input 10"],
    ["Gelu", rename("sigmoid", "Gelu"), "not silu(gate) · up"],
    ["QuickGelu", (parts) => {
      const at = parts.nodes.indexOf(nodeOf(parts, "sigmoid"));
      parts.nodes.splice(at, 2, ["com.microsoft.QuickGelu", ["gate"], ["silu"]]);
    }, "not silu(gate) · up"],
    ["silu of up", input("silu", 0, "up"), "not silu(gate) · up"],
    [
      "LayerNormalization",
      rename("normed", "LayerNormalization"),
      "no RMSNorm before its attention",
    ],
    ["a parallel feed-forward", input("normed2", 0, "hidden"), "does not add its feed-forward"],
    ["a residual of the norm", input("between", 0, "normed"), "does not add its attention"],
    [
      "a product of the residual",
      rename("hidden_out", "Mul"),
      "no sum after its feed-forward, but Mul",
    ],
    ["queries of other rows", input("query", 0, "hidden"), "from different rows"],
    ["a foreign cache", input("attended", 3, "past.value"), "in its own cache"],
    ["other lengths", ({ inputs, nodes }) => {
      inputs["lengths"] = [1];
      nodes.find(([name]) => name.endsWith("Attention"))![1][5] = "lengths";
    }, "something other than attention_mask"],
    ["an odd head", ({ inputs }) => inputs["past.key"] = [1, 2, null, 32], "do not fit together"],
    ["an odd width", ({ inputs }) => inputs["hidden"] = [1, null, 128], "do not fit together"],
    ["a scaled residual", (parts) => {
      parts.constants.push(floats("factor", [], [0.5]));
      const at = parts.nodes.indexOf(nodeOf(parts, "hidden_out"));
      parts.nodes.splice(at, 0, ["Mul", ["down", "factor"], ["scaled"]]);
      nodeOf(parts, "hidden_out")[1] = ["between", "scaled"];
    }, "adds something other than a product after its feed-forward"],
    ["an unknown type", (parts) => void (nodeOf(parts, "up")[3]!["type"] = "Q3_K"), 'type "Q3_K"'],
  ];
  for (const [name, spoil, words] of cases) {
    await t.step(name, () => assertMatch(reason(spoil), new RegExp(RegExp.escape(words))));
  }
});

Deno.test("recogniseBlock() refuses two f16 tensors at an edge", () => {
  const found = reason(({ inputs, nodes }) => {
    inputs["hidden.1"] = [1, null, 64];
    nodes.push(["Neg", ["hidden.1"], ["unused"]]);
  });
  assertEquals(found, "layer.0 passes its hidden rows on as two f16 tensors");
});

Deno.test("recogniseBlock() throws model_corrupt for a graph that nothing could run", async (t) => {
  const cases: [string, (parts: GraphParts) => void, string][] = [
    ["a missing value", (parts) => void (nodeOf(parts, "up")[1][0] = "nowhere"), "nowhere"],
    ["a cycle", (parts) => void (nodeOf(parts, "normed")[1][0] = "hidden_out"), "hidden_out"],
    ["a value twice", ({ nodes }) => void nodes.push(["Neg", ["up"], ["up"]]), "second time"],
    ["no output", ({ outputs }) => void outputs.push("logits.1"), "logits.1"],
    ["too few bytes", ({ constants }) => {
      const at = constants.findIndex(({ name }) => name === "up.weight");
      constants[at] = external("up.weight", DataType.UINT8, [96, 36], 100);
    }, "100 bytes"],
  ];
  for (const [name, spoil, words] of cases) {
    await t.step(name, () => {
      const error = assertThrows(
        () => recogniseBlock("layer.0", layerModel(spoil)),
        MdiError,
        words,
      );
      assertEquals(error.code, "model_corrupt");
    });
  }
});

Deno.test("recogniseBlock() survives any graph with nodes removed, renamed or rewired", () => {
  const { nodes } = collected();
  const index = fc.nat(nodes.length - 1);
  const values = nodes.flatMap(([, , outputs]) => outputs);
  const change = fc.oneof(
    fc.record({ kind: fc.constant("remove" as const), at: index }),
    fc.record({ kind: fc.constant("operator" as const), at: index, as: index }),
    fc.record({
      kind: fc.constant("input" as const),
      at: index,
      input: fc.nat(8),
      value: fc.constantFrom("", ...values),
    }),
    fc.record({ kind: fc.constant("no inputs" as const), at: index }),
  );
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      const model = layerModel((parts) => {
        for (const each of changes) {
          const node = parts.nodes[each.at % parts.nodes.length]!;
          if (each.kind === "remove") parts.nodes.splice(parts.nodes.indexOf(node), 1);
          if (each.kind === "operator") node[0] = nodes[each.as]![0];
          if (each.kind === "input") node[1][each.input % (node[1].length || 1)] = each.value;
          if (each.kind === "no inputs") node[1] = [];
        }
      });
      try {
        recogniseBlock("layer.0", model);
      } catch (error) {
        if (!(error instanceof MdiError) || error.code !== "model_corrupt") throw error;
      }
    }),
    { numRuns: 400 },
  );
});

function collected(): GraphParts {
  const found: GraphParts[] = [];
  layerModel((parts) => void found.push(parts));
  return found[0]!;
}

Deno.test("recogniseStage() wants the same heads and angles in all layers", () => {
  const range = { embed: false, layers: [0, 1] as const, head: false };
  const stage = (spoil: (parts: GraphParts) => void) =>
    recogniseStage(range, (name) => layerModel(name === "layer.1" ? spoil : undefined));
  const reasonOf = (spoil: (parts: GraphParts) => void) => {
    const found = stage(spoil);
    return found.kind === "unrecognised" ? found.reason : "";
  };
  const same = stage(() => {});
  assertEquals(same.kind === "stage" ? [...same.blocks.keys()] : [], ["layer.0", "layer.1"]);
  assertEquals(
    reasonOf((parts) => {
      const table = parts.constants.findIndex(({ name }) => name === "cos");
      parts.constants[table] = external("cos", DataType.FLOAT, [128, 8], 4096, { offset: 9 });
    }),
    "layer.1 rotates by other angles than layer.0",
  );
  assertEquals(
    reasonOf((parts) => void (nodeOf(parts, "attended")[3]!["softcap"] = { float: 30 })),
    "layer.1 has a softcap of 30 in its attention",
  );
});

/** Exported layers, changed: what changes the arithmetic is seen, or the layer is refused. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { clone } from "@bufbuild/protobuf";
import fc from "fast-check";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type AttributeProto,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  type TensorProto,
} from "../wasm/gen/onnx/onnx_pb.ts";
import { MdiError } from "../wasm/error.ts";
import type { DecoderLayer } from "../wasm/simd/decoder.ts";
import { recogniseBlock } from "../wasm/simd/recognise.ts";
import { blockGraphs } from "./support/block_graphs.ts";

const FIXTURES = fileURLToPath(new URL("./fixtures", import.meta.url));

const LLAMA = await layerOf("tiny-llama-tied/onnx/model.onnx");
const RAW = await layerOf("tiny-llama-tied/onnx_raw/model.onnx");
const WINDOW = await layerOf("tiny-mistral-window/onnx/model.onnx");

async function layerOf(file: string): Promise<ModelProto> {
  return (await blockGraphs(join(FIXTURES, file))).models.get("layer.1")!;
}

/** The layer after a change. */
function changed(model: ModelProto, change: (layer: Layer) => void): ModelProto {
  const copy = clone(ModelProtoSchema, model);
  change(new Layer(copy));
  return copy;
}

/** A graph to be changed: nodes are found by what they are, as their names mean nothing. */
class Layer {
  readonly nodes: NodeProto[];
  readonly constants: TensorProto[];

  constructor(model: ModelProto) {
    this.nodes = model.graph!.node;
    this.constants = model.graph!.initializer;
  }

  /** The nodes of an operator. */
  all(operator: string): NodeProto[] {
    return this.nodes.filter(({ opType }) => opType === operator);
  }

  /** The node that makes a value. */
  maker(value: string | undefined): NodeProto {
    const node = this.nodes.find(({ output }) => output.includes(value!));
    assert(node, `nothing makes ${value}`);
    return node!;
  }

  /** The constant of a name. */
  constant(name: string | undefined): TensorProto {
    return this.constants.find((tensor) => tensor.name === name)!;
  }

  /** An attribute of a node. */
  attribute(node: NodeProto, name: string): AttributeProto {
    return node.attribute.find((attribute) => attribute.name === name)!;
  }
}

function setFloat(tensor: TensorProto, value: number): void {
  tensor.rawData = new Uint8Array(Float32Array.of(value).buffer);
}

function setInteger(tensor: TensorProto, value: number): void {
  tensor.rawData = new Uint8Array(BigInt64Array.of(BigInt(value)).buffer);
}

function recognised(model: ModelProto): DecoderLayer {
  const block = recogniseBlock("layer.1", model);
  assertEquals(block.kind, "layer", "reason" in block ? block.reason : undefined);
  return block as DecoderLayer;
}

function reason(model: ModelProto): string {
  const block = recogniseBlock("layer.1", model);
  return block.kind === "unrecognised" ? block.reason : "it was recognised";
}

/** The node whose sum is the scores and the mask. */
function masked(layer: Layer): NodeProto {
  return layer.maker(layer.all("Softmax")[0]!.input[0]);
}

/** The constant that the mask compares positions with. */
function windowConstant(layer: Layer): TensorProto {
  return layer.constant(layer.maker(layer.all("LessOrEqual")[0]!.input[1]).input[1]);
}

Deno.test("a changed number of an exported layer is seen", () => {
  const before = recognised(LLAMA);
  const epsilon = changed(LLAMA, (layer) => {
    const sum = layer.maker(layer.all("Sqrt")[0]!.input[0]);
    setFloat(layer.constant(sum.input[1]), 0.25);
  });
  assertEquals(recognised(epsilon).inputNorm.epsilon, 0.25);
  const scale = changed(LLAMA, (layer) => {
    const product = layer.maker(masked(layer).input[0]);
    setFloat(layer.constant(layer.maker(product.input[0]).input[1]), 2);
  });
  // One constant is the factor of both the queries and the keys.
  assertEquals(recognised(scale).scale, 4);
  const frequencies = changed(LLAMA, (layer) => {
    const tensor = layer.constants.find(({ dims }) => dims.join() === "1,8,1")!;
    tensor.rawData = new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8).buffer);
  });
  const { rope } = recognised(frequencies);
  assert(rope.type === "frequencies" && before.rope.type === "frequencies");
  const source = rope.type === "frequencies" ? rope.frequencies.source as Uint8Array : undefined;
  assertEquals([...new Float32Array(source!.slice().buffer)], [1, 2, 3, 4, 5, 6, 7, 8]);
});

Deno.test("a factor of the rotation is seen, and must be that of both its parts", () => {
  const scaled = (...parts: string[]) =>
    changed(RAW, (layer) => {
      for (const part of parts) {
        const [wave] = layer.all(part);
        const product = layer.nodes.find(({ input }) => input[0] === wave!.output[0]);
        setFloat(layer.constant(product!.input[1]), 1.5);
      }
    });
  const { rope } = recognised(scaled("Cos", "Sin"));
  assertEquals(rope.type === "frequencies" && rope.scale, 1.5);
  for (const part of ["Cos", "Sin"]) {
    assertEquals(
      reason(scaled(part)),
      "layer.1 rotates by something other than position · frequency",
    );
  }
});

Deno.test("a window of any length is measured", () => {
  for (const window of [1, 3, 8, 16, 17, 64, 4096]) {
    const model = changed(WINDOW, (layer) => setInteger(windowConstant(layer), window));
    assertEquals(recognised(model).window, window);
  }
  const long = changed(WINDOW, (layer) => setInteger(windowConstant(layer), 1_000_000));
  assertEquals(reason(long), "layer.1 has an attention that changes at a length of 1000000");
});

Deno.test("a changed operation of an exported layer is refused", async (t) => {
  const rename = (from: string, to: string, which = 0) => (layer: Layer) =>
    void (layer.all(from)[which]!.opType = to);
  const cases: [string, (layer: Layer) => void, RegExp][] = [
    ["epsilon after the root", (layer) => {
      const root = layer.all("Sqrt")[0]!;
      const sum = layer.maker(root.input[0]);
      const [mean, epsilon] = sum.input;
      [sum.opType, root.opType] = ["Sqrt", "Add"];
      sum.input = [mean!];
      root.input = [sum.output[0]!, epsilon!];
    }, /no RMSNorm/],
    ["another power", (layer) => {
      const power = layer.constant(layer.all("Pow")[0]!.input[1]);
      setFloat(power, 3);
    }, /no RMSNorm/],
    ["a mean of other axes", (layer) => {
      layer.attribute(layer.all("ReduceMean")[0]!, "axes").ints = [1n];
    }, /no RMSNorm/],
    ["a sum for a mean", rename("ReduceMean", "ReduceSum"), /no RMSNorm/],
    ["tanh for sigmoid", rename("Sigmoid", "Tanh"), /not silu\(gate\) · up/],
    ["a softmax of columns", (layer) => {
      layer.attribute(layer.all("Softmax")[0]!, "axis").i = 2n;
    }, /add a mask to its scores/],
    ["tanh of the scores", (layer) => {
      const scores = layer.maker(masked(layer).input[0]);
      const tanh = clone(ModelProtoSchema, LLAMA).graph!.node[0]!;
      Object.assign(tanh, {
        opType: "Tanh",
        input: scores.output,
        output: ["capped"],
        attribute: [],
      });
      layer.nodes.splice(layer.nodes.indexOf(scores) + 1, 0, tanh);
      masked(layer).input[0] = "capped";
    }, /Tanh between its scores and their mask/],
    ["a mask subtracted", (layer) => void (masked(layer).opType = "Sub"), /add a mask/],
    ["rotation by a sum", rename("Neg", "Abs"), /rotate the halves/],
    ["sine for cosine", rename("Cos", "Sin"), /rotates by/],
    ["squared angles", (layer) => {
      const angle = layer.all("Concat").find(({ input }) => input[0] === input[1])!;
      const product = layer.maker(layer.maker(angle.input[0]).input[0]);
      const square = clone(ModelProtoSchema, LLAMA).graph!.node[0]!;
      const [positions] = product.input.slice(1);
      Object.assign(square, {
        opType: "Mul",
        input: [positions, positions],
        output: ["squares"],
        attribute: [],
      });
      layer.nodes.splice(layer.nodes.indexOf(product), 0, square);
      product.input[1] = "squares";
    }, /rotates by something other/],
    ["halves exchanged", (layer) => {
      const turned = layer.all("Concat").find(({ input }) =>
        layer.nodes.some(({ opType, output }) => opType === "Neg" && output[0] === input[0])
      )!;
      turned.input.reverse();
    }, /rotate the halves/],
    ["an anti-causal mask", rename("Greater", "Less"), /neither causal nor a sliding window/],
    ["a mask that grows", rename("Equal", "Greater"), /./],
    ["values of the keys", (layer) => {
      const [key] = layer.nodes.filter(({ output }) => output[0] === "present.key");
      const value = layer.nodes.find(({ output }) => output[0] === "present.value")!;
      value.input[1] = key!.input[1]!;
      layer.nodes.push(...layer.nodes.splice(layer.nodes.indexOf(value), 1));
    }, /./],
    ["repeated over all heads", (layer) => {
      for (const node of layer.all("Unsqueeze")) {
        if (node.input[0] === "present.key") node.opType = "Identity";
      }
    }, /./],
  ];
  for (const [name, change, words] of cases) {
    await t.step(name, () => {
      const model = changed(LLAMA, change);
      const found = outcome(model);
      assertMatch(found, words);
      assert(found !== "it was recognised", found);
    });
  }
});

/** Why a layer is refused, by recognition or because its graph cannot run. */
function outcome(model: ModelProto): string {
  try {
    return reason(model);
  } catch (error) {
    if (error instanceof MdiError && error.code === "model_corrupt") return error.message;
    throw error;
  }
}

Deno.test("recogniseBlock() survives exported layers with nodes removed or rewired", () => {
  const nodes = LLAMA.graph!.node;
  const values = [...nodes.flatMap(({ output }) => output), "hidden", "past.key", "position_ids"];
  const change = fc.record({
    kind: fc.constantFrom("remove", "bypass", "input", "operator"),
    at: fc.nat(nodes.length - 1),
    other: fc.nat(nodes.length - 1),
    value: fc.constantFrom(...values),
  });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
      const model = changed(LLAMA, ({ nodes }) => {
        for (const { kind, at, other, value } of changes) {
          const node = nodes[at % nodes.length]!;
          if (kind === "remove") nodes.splice(nodes.indexOf(node), 1);
          if (kind === "input") node.input[other % (node.input.length || 1)] = value;
          if (kind === "operator") node.opType = LLAMA.graph!.node[other]!.opType;
          if (kind === "bypass") {
            for (const reader of nodes) {
              reader.input = reader.input.map((each) =>
                each === node.output[0] ? node.input[0]! : each
              );
            }
          }
        }
      });
      assertEquals(typeof outcome(model), "string");
    }),
    { numRuns: 250 },
  );
});

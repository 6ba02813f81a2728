import { assertEquals, assertMatch } from "@std/assert";
import { type TensorProto, TensorProto_DataType as DataType } from "../gen/onnx/onnx_pb.ts";
import { external, floats, graphModel, inline, integers, type NodeList } from "./_graph.ts";
import type { DecoderBlock } from "./decoder.ts";
import { recogniseBlock } from "./recognise.ts";

function embed(nodes: NodeList, constants: TensorProto[]) {
  const inputs = { "input_ids": [1, null] };
  return recogniseBlock("embed", graphModel({ inputs, outputs: ["hidden_out"], nodes, constants }));
}

function table(block: ReturnType<typeof recogniseBlock>) {
  assertEquals(block.kind, "embed", "reason" in block ? block.reason : undefined);
  return (block as Extract<DecoderBlock, { kind: "embed" }>).table;
}

const FLOAT_TABLE = external("t", DataType.FLOAT, [96, 64], 96 * 64 * 4);

Deno.test("recogniseBlock() reads tables of floating point, turned or not", () => {
  const plain = table(embed([["Gather", ["t", "input_ids"], ["hidden_out"]]], [FLOAT_TABLE]));
  assertEquals([plain.n, plain.k, plain.form], [96, 64, {
    type: "float",
    dtype: "f32",
    transposed: false,
  }]);
  const turned = table(embed([
    ["Transpose", ["t"], ["u"], { perm: [1, 0] }],
    ["Gather", ["u", "input_ids"], ["half"]],
    ["Cast", ["half"], ["hidden_out"], { to: DataType.FLOAT }],
  ], [external("t", DataType.FLOAT16, [64, 96], 96 * 64 * 2)]));
  assertEquals([turned.n, turned.k, turned.form], [96, 64, {
    type: "float",
    dtype: "f16",
    transposed: true,
  }]);
});

Deno.test("recogniseBlock() reads quantised tables", () => {
  const gguf = table(embed([
    ["mdi.GatherGguf", ["t", "input_ids"], ["hidden_out"], { type: "Q8_0", K: 64, N: 96 }],
  ], [external("t", DataType.UINT8, [96, 68], 96 * 68)]));
  assertEquals(gguf.form, { type: "gguf", gguf: "Q8_0" });
  const blocks = table(embed([
    ["Reshape", ["t", "shape"], ["codes"]],
    ["com.microsoft.GatherBlockQuantized", ["codes", "input_ids", "s", "z"], ["hidden_out"], {
      bits: 4,
      block_size: 32,
      gather_axis: 0,
      quantize_axis: 1,
    }],
  ], [
    external("t", DataType.UINT8, [96, 2, 16], 96 * 32),
    external("s", DataType.FLOAT, [96, 2], 96 * 8),
    external("z", DataType.UINT8, [96, 1], 96),
    integers("shape", [2], [96, 32]),
  ]));
  assertEquals([blocks.n, blocks.k, blocks.form], [96, 64, {
    type: "nbits",
    bits: 4,
    block: 32,
    scales: "f32",
    zeroPoints: "u8",
  }]);
  const int8 = [
    external("t", DataType.UINT8, [96, 64], 96 * 64),
    floats("s", [], [0.5]),
    inline("z", DataType.UINT8, [], Uint8Array.of(7)),
  ];
  const after = table(embed([
    ["Gather", ["t", "input_ids"], ["codes"]],
    ["DequantizeLinear", ["codes", "s", "z"], ["hidden_out"]],
  ], int8));
  const before = table(embed([
    ["DequantizeLinear", ["t", "s", "z"], ["floats"]],
    ["Gather", ["floats", "input_ids"], ["hidden_out"]],
  ], int8));
  assertEquals(after, before);
  assertEquals(after.form, { type: "int8", signed: false, transposed: false, perRow: false });
});

Deno.test("recogniseBlock() refuses embeddings that are more than a table", () => {
  const reason = (nodes: NodeList, constants = [FLOAT_TABLE]) => {
    const block = embed(nodes, constants);
    return block.kind === "unrecognised" ? block.reason : block.kind;
  };
  const scaled: NodeList = [
    ["Gather", ["t", "input_ids"], ["rows"]],
    ["Mul", ["rows", "factor"], ["hidden_out"]],
  ];
  assertMatch(reason(scaled, [FLOAT_TABLE, floats("factor", [], [8])]), /^embed makes .* Mul/);
  assertMatch(
    reason([["Gather", ["t", "input_ids"], ["hidden_out"], { axis: 1 }]]),
    /not a constant/,
  );
  const narrow = external("t", DataType.FLOAT, [96, 48], 96 * 48 * 4);
  assertMatch(reason([["Gather", ["t", "input_ids"], ["hidden_out"]]], [narrow]), /multiple of 32/);
});

const HEAD = [
  floats("gamma", [64], new Array(64).fill(1)),
  external("w", DataType.FLOAT, [64, 96], 96 * 64 * 4, { location: "embed" }),
];
const NORM: NodeList = [["SimplifiedLayerNormalization", ["hidden", "gamma"], ["normed"]]];

function head(nodes: NodeList, constants: TensorProto[] = HEAD) {
  const inputs = { "hidden": [1, null, 64] };
  return recogniseBlock("head", graphModel({ inputs, outputs: ["logits"], nodes, constants }));
}

Deno.test("recogniseBlock() reads a head, tied or not", () => {
  const found = head([...NORM, ["MatMul", ["normed", "w"], ["logits"]]]);
  assertEquals(found.kind, "head");
  if (found.kind !== "head") return;
  assertEquals(found.weight.weight.sources, [{ block: "embed", offset: 0, length: 96 * 64 * 4 }]);
  assertEquals(found.norm?.weight.length, 64);
});

Deno.test("recogniseBlock() refuses weights that are not packed", () => {
  const found = head([
    ...NORM,
    ["com.microsoft.MatMulNBits", ["normed", "w", "s", "z"], ["logits"], {
      K: 64,
      N: 96,
      bits: 4,
      block_size: 32,
    }],
  ], [
    HEAD[0]!,
    external("w", DataType.UINT8, [96, 2, 16], 96 * 32),
    external("s", DataType.FLOAT, [96, 2], 96 * 8),
    external("z", DataType.FLOAT, [96, 2], 96 * 8),
  ]);
  assertEquals(found, {
    kind: "unrecognised",
    reason: "head has a weight with zero points that are not integers",
  });
});

Deno.test("recogniseBlock() reads a head whose norm the last layer has", () => {
  const found = head([["MatMul", ["hidden", "w"], ["logits"]]]);
  assertEquals(found.kind === "head" && found.norm, null);
});

Deno.test("recogniseBlock() looks through a slice that keeps all rows", () => {
  const sliced: NodeList = [
    ...NORM,
    ["Neg", ["keep"], ["start"]],
    ["Slice", ["normed", "start", "end", "axis", "step"], ["kept"]],
    ["MatMul", ["kept", "w"], ["logits"]],
  ];
  const one = (name: string, value: number) => integers(name, [1], [value]);
  const bounds = [one("end", 2 ** 53), one("axis", 1), one("step", 1)];
  assertEquals(head(sliced, [...HEAD, one("keep", 0), ...bounds]).kind, "head");
  assertEquals(head(sliced, [...HEAD, one("keep", 1), ...bounds]), {
    kind: "unrecognised",
    reason: "head does not compute all its logits",
  });
});

Deno.test("recogniseBlock() refuses heads that are more than a norm and a product", () => {
  const reason = (nodes: NodeList, constants?: TensorProto[]) => {
    const block = head(nodes, constants);
    return block.kind === "unrecognised" ? block.reason : block.kind;
  };
  const capped: NodeList = [
    ...NORM,
    ["MatMul", ["normed", "w"], ["scores"]],
    ["Tanh", ["scores"], ["logits"]],
  ];
  assertEquals(reason(capped), "head makes its logits with Tanh, not of a product alone");
  const layerNorm: NodeList = [
    ["LayerNormalization", ["hidden", "gamma"], ["normed"]],
    ["MatMul", ["normed", "w"], ["logits"]],
  ];
  assertEquals(reason(layerNorm), "head has no RMSNorm before its product");
  const scaled: NodeList = [
    ["Neg", ["hidden"], ["other"]],
    ["SimplifiedLayerNormalization", ["other", "gamma"], ["normed"]],
    ["MatMul", ["normed", "w"], ["logits"]],
  ];
  assertMatch(reason(scaled), /something else to its hidden rows/);
});

import { assertEquals, assertThrows } from "@std/assert";
import { MdiError } from "../error.ts";
import { type TensorProto, TensorProto_DataType as DataType } from "../gen/onnx/onnx_pb.ts";
import { external, floats, graphModel, inline, type NodeList } from "./_graph.ts";
import { GraphView, Mismatch } from "./graph_view.ts";
import { matchLinear } from "./recognise_linear.ts";

function linear(nodes: NodeList, constants: TensorProto[]) {
  const model = graphModel({ inputs: { "x": [1, null, 64] }, outputs: ["y"], nodes, constants });
  return matchLinear(new GraphView("block", model), "y");
}

const BIAS = floats("bias", [96], new Array(96).fill(0));
const place = (length: number, offset = 0) => ({ block: "block", offset, length });

Deno.test("matchLinear() reads MatMul with a weight of either order, behind casts, with a bias", () => {
  const weight = external("w", DataType.FLOAT16, [64, 96], 64 * 96 * 2);
  const found = linear([
    ["Cast", ["x"], ["half"], { to: DataType.FLOAT16 }],
    ["MatMul", ["half", "w"], ["product"]],
    ["Cast", ["product"], ["single"], { to: DataType.FLOAT }],
    ["Add", ["bias", "single"], ["y"]],
  ], [weight, BIAS]);
  assertEquals(found?.linear.weight, {
    n: 96,
    k: 64,
    form: { type: "float", dtype: "f16", transposed: true },
    sources: [place(64 * 96 * 2)],
  });
  assertEquals(found?.linear.bias?.length, 96);
  const turned = linear([
    ["Transpose", ["w"], ["t"], { perm: [1, 0] }],
    ["MatMul", ["x", "t"], ["y"]],
  ], [external("w", DataType.BFLOAT16, [96, 64], 64 * 96 * 2)]);
  assertEquals([turned?.linear.weight.n, turned?.linear.weight.k], [96, 64]);
  assertEquals(turned?.linear.weight.form, { type: "float", dtype: "bf16", transposed: false });
});

/** MatMulNBits of 96 outputs and 128 inputs. */
function nBits(
  { bits = 4, block = 32, scales = DataType.FLOAT, zero = DataType.UNDEFINED, extra = [] }: {
    bits?: number;
    block?: number;
    scales?: DataType;
    zero?: DataType;
    extra?: string[];
  },
) {
  const runs = 128 / block;
  const width = { [DataType.FLOAT]: 4, [DataType.FLOAT16]: 2 };
  const bytes = 96 * runs * width[scales as DataType.FLOAT];
  const constants = [
    external("w", DataType.UINT8, [96, runs, block * bits / 8], 96 * 128 * bits / 8),
    external("s", scales, [96 * runs], bytes, { offset: 64 }),
    BIAS,
  ];
  const packed = Math.ceil(runs * bits / 8);
  if (zero === DataType.UINT8) {
    constants.push(external("z", zero, [96 * packed], 96 * packed, { offset: 128 }));
  } else if (zero) constants.push(external("z", zero, [96, runs], bytes, { offset: 128 }));
  return linear([[
    "com.microsoft.MatMulNBits",
    ["x", "w", "s", zero ? "z" : "", ...extra],
    ["y"],
    { K: 128, N: 96, bits, block_size: block },
  ]], constants)?.linear;
}

Deno.test("matchLinear() reads MatMulNBits of each block, with zero points and a bias", () => {
  for (const bits of [4, 8]) {
    for (const block of [16, 32, 64, 128]) {
      assertEquals(nBits({ bits, block })?.weight.form, {
        type: "nbits",
        bits: bits as 4,
        block,
        scales: "f32",
        zeroPoints: null,
      });
    }
  }
  const codes = nBits({ scales: DataType.FLOAT16, zero: DataType.UINT8 })?.weight;
  assertEquals(codes?.form.type === "nbits" && codes.form.zeroPoints, "u8");
  assertEquals(codes?.sources, [place(6144), place(768, 64), place(192, 128)]);
  const real = nBits({ scales: DataType.FLOAT16, zero: DataType.FLOAT16 })?.weight;
  assertEquals(real?.form.type === "nbits" && real.form.zeroPoints, "float");
  assertEquals(nBits({ extra: ["", "bias"] })?.bias?.length, 96);
});

Deno.test("matchLinear() refuses MatMulNBits that the kernels cannot read", () => {
  assertThrows(() => nBits({ bits: 2 }), Mismatch, "2 bits");
  assertThrows(() => nBits({ extra: ["bias"] }), Mismatch, "g_idx");
  assertThrows(() => nBits({ zero: DataType.FLOAT16 }), Mismatch, "zero points of FLOAT16");
});

/** A dynamically quantised product of 96 outputs and 64 inputs. */
function int8(
  { type = DataType.INT8, scales = 1, zero = [0], flat = true }: {
    type?: DataType;
    scales?: number;
    zero?: number[];
    flat?: boolean;
  },
) {
  const scale = floats("s", scales === 1 ? [] : [scales], new Array(scales).fill(0.5));
  const points = type === DataType.INT8 ? Int8Array.from(zero) : Uint8Array.from(zero);
  const product: NodeList = flat
    ? [["Mul", ["xs", "s"], ["scale"]], ["Mul", ["sum", "scale"], ["y"]]]
    : [["Mul", ["sum", "xs"], ["scaled"]], ["Mul", ["s", "scaled"], ["y"]]];
  return linear([
    ["DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"]],
    ["MatMulInteger", ["xq", "w", "xz", "z"], ["integers"]],
    ["Cast", ["integers"], ["sum"], { to: DataType.FLOAT }],
    ...product,
  ], [external("w", type, [64, 96], 64 * 96), scale, inline("z", type, [zero.length], points)])
    ?.linear.weight;
}

Deno.test("matchLinear() reads dynamically quantised products", () => {
  assertEquals(int8({})?.form, { type: "int8", signed: true, transposed: true, perRow: false });
  assertEquals(int8({ flat: false }), int8({}));
  assertEquals(int8({})?.sources.length, 2, "zero points of 0 are none");
  const unsigned = int8({ type: DataType.UINT8, zero: [128] });
  assertEquals(unsigned?.form.type === "int8" && unsigned.form.signed, false);
  assertEquals(unsigned?.sources[2], Uint8Array.of(128));
  const columns = int8({ scales: 96, zero: [3] });
  assertEquals(columns?.form.type === "int8" && columns.form.perRow, true);
  assertEquals(columns?.sources[2], new Uint8Array(96).fill(3));
  assertThrows(() => int8({ scales: 95 }), Mismatch, "95 f32 scales");
  assertThrows(() => int8({ zero: [1, 2] }), Mismatch, "more zero points");
});

Deno.test("matchLinear() reads integer weights that are expanded before a product", () => {
  const constants = [
    external("w", DataType.INT8, [64, 96], 64 * 96),
    floats("s", [96], new Array(96).fill(0.5)),
  ];
  const nodes = (axis: number): NodeList => [
    ["DequantizeLinear", ["w", "s"], ["floats"], { axis }],
    ["MatMul", ["x", "floats"], ["y"]],
  ];
  assertEquals(linear(nodes(1), constants)?.linear.weight.form, {
    type: "int8",
    signed: true,
    transposed: true,
    perRow: true,
  });
  assertThrows(() => linear(nodes(0), constants), Mismatch, "each input");
});

Deno.test("matchLinear() refuses what it cannot multiply by and knows no other operators", () => {
  const odd = external("w", DataType.FLOAT, [48, 96], 48 * 96 * 4);
  assertThrows(() => linear([["MatMul", ["x", "w"], ["y"]]], [odd]), Mismatch, "no multiple of 32");
  const weight = external("w", DataType.FLOAT, [64, 96], 64 * 96 * 4);
  assertThrows(
    () =>
      linear([["MatMul", ["x", "w"], ["p"]], ["Add", ["p", "one"], ["y"]]], [
        weight,
        floats("one", [], [1]),
      ]),
    Mismatch,
    "other than a bias",
  );
  assertEquals(linear([["MatMul", ["x", "x"], ["y"]]], []), undefined);
  assertEquals(linear([["Add", ["x", "x"], ["y"]]], []), undefined);
  const short = external("w", DataType.FLOAT, [64, 96], 64);
  assertThrows(() => linear([["MatMul", ["x", "w"], ["y"]]], [short]), MdiError, "64 bytes");
});

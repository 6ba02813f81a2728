import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { create } from "@bufbuild/protobuf";
import {
  NodeProtoSchema,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
} from "../gen/onnx/onnx_pb.ts";
import { graphModel, inline } from "./_graph.ts";
import { OPERATORS, tensorValue } from "./partial_operators.ts";
import type { PartialTensor } from "./partial_tensor.ts";

function ints(dims: number[], values: number[]): PartialTensor {
  return { dims, data: Float64Array.from(values), integer: true };
}

function reals(dims: number[], values: number[]): PartialTensor {
  return { dims, data: Float64Array.from(values), integer: false };
}

function counted(dims: number[]): PartialTensor {
  const length = dims.reduce((all, dim) => all * dim, 1);
  return ints(dims, Array.from({ length }, (_, i) => i));
}

/** Runs one operator; a missing optional input is undefined. */
function run(
  operator: string,
  inputs: (PartialTensor | undefined)[],
  attributes: Record<string, number | number[]> = {},
): [readonly number[], number[] | null] | undefined {
  const { node } = graphModel({
    inputs: {},
    outputs: [],
    constants: [],
    nodes: [[operator, [], [], attributes]],
  }).graph!;
  const result = OPERATORS.get(operator)!(inputs, node[0]!);
  const one = Array.isArray(result) ? result[0] : result;
  return one && [one.dims, one.data && [...one.data]];
}

// Expected values are those of ONNX's specification and of NumPy's operation of the same name.

Deno.test("operators compute elements with broadcasting", () => {
  assertEquals(run("Add", [counted([2, 1]), counted([3])]), [[2, 3], [0, 1, 2, 1, 2, 3]]);
  assertEquals(run("Div", [ints([3], [7, -7, 6]), ints([], [2])]), [[3], [3, -3, 3]]);
  assertEquals(run("Div", [reals([1], [1]), reals([1], [3])]), [[1], [Math.fround(1 / 3)]]);
  assertEquals(run("LessOrEqual", [counted([3]), ints([], [1])]), [[3], [1, 1, 0]]);
  assertEquals(run("Where", [ints([2], [1, 0]), ints([], [5]), ints([1, 2], [6, 7])]), [[1, 2], [
    5,
    7,
  ]]);
  assertEquals(run("Add", [counted([2]), counted([3])]), undefined);
});

Deno.test("operators move elements", () => {
  const x = counted([2, 3, 2]);
  assertEquals(run("Transpose", [counted([2, 3])], { perm: [1, 0] }), [[3, 2], [0, 3, 1, 4, 2, 5]]);
  assertEquals(run("Gather", [x, ints([2], [-1, 0])], { axis: 1 }), [[2, 2, 2], [
    ...[4, 5, 0, 1],
    ...[10, 11, 6, 7],
  ]]);
  assertEquals(run("Gather", [ints([3], [7, 8, 9]), ints([], [1])], { axis: 0 }), [[], [8]]);
  assertEquals(run("Concat", [counted([2, 1]), counted([2, 2])], { axis: -1 }), [[2, 3], [
    0,
    0,
    1,
    1,
    2,
    3,
  ]]);
  const slice = [ints([1], [-2]), ints([1], [2 ** 63]), ints([1], [1]), ints([1], [1])];
  assertEquals(run("Slice", [x, ...slice]), [[2, 2, 2], [2, 3, 4, 5, 8, 9, 10, 11]]);
  assertEquals(
    run("Slice", [counted([6]), ints([1], [1]), ints([1], [6]), undefined, ints([1], [2])]),
    [
      [3],
      [1, 3, 5],
    ],
  );
  assertEquals(run("Expand", [counted([2, 1]), ints([3], [2, 1, 2])]), [[2, 2, 2], [
    ...[0, 0, 1, 1],
    ...[0, 0, 1, 1],
  ]]);
  assertEquals(run("Unsqueeze", [counted([2]), ints([2], [0, -1])])?.[0], [1, 2, 1]);
  assertEquals(run("Squeeze", [counted([1, 2, 1])], { axes: [-1] })?.[0], [1, 2]);
  assertEquals(run("Reshape", [counted([2, 3]), ints([3], [0, -1, 1])])?.[0], [2, 3, 1]);
  assertEquals(run("Reshape", [counted([2, 3]), ints([2], [4, -1])]), undefined);
  assertEquals(run("Trilu", [counted([2, 3]), ints([], [1])], { upper: 1 }), [[2, 3], [
    0,
    1,
    2,
    0,
    0,
    5,
  ]]);
  assertEquals(run("Trilu", [counted([2, 2]), undefined], { upper: 0 }), [[2, 2], [0, 0, 2, 3]]);
  const updates = ints([2], [8, 9]);
  assertEquals(run("ScatterND", [counted([2, 2]), ints([2, 2], [0, 0, 1, 1]), updates]), [[2, 2], [
    8,
    1,
    2,
    9,
  ]]);
});

Deno.test("operators make and reduce", () => {
  assertEquals(run("Range", [ints([], [2]), ints([], [8]), ints([], [3])]), [[2], [2, 5]]);
  assertEquals(run("Range", [ints([], [2]), ints([], [8]), ints([], [0])]), undefined);
  assertEquals(run("ConstantOfShape", [ints([2], [1, 2])]), [[1, 2], [0, 0]]);
  assertEquals(run("ConstantOfShape", [ints([1], [-2])])?.[1], null);
  assertEquals(run("Shape", [counted([4, 5, 6])], { start: 1, end: -1 }), [[1], [5]]);
  assertEquals(run("ReduceSum", [counted([2, 3]), ints([1], [1])], { keepdims: 0 }), [[2], [
    3,
    12,
  ]]);
  assertEquals(run("MatMul", [counted([2, 2]), counted([1, 2, 2])]), [[1, 2, 2], [2, 3, 6, 11]]);
  const half = { dims: [1, 4], data: null, integer: false };
  assertEquals(run("MatMul", [half, counted([4, 3])]), [[1, 3], null]);
});

Deno.test("tensorValue() reads elements wherever a tensor has them", () => {
  const halves = inline("h", DataType.FLOAT16, [2], Float16Array.of(0.5, -2));
  assertEquals([...tensorValue(halves).data!], [0.5, -2]);
  const typed = create(TensorProtoSchema, { dims: [1n], dataType: 7, int64Data: [5n] });
  assertEquals(tensorValue(typed), ints([1], [5]));
  const short = create(TensorProtoSchema, { dims: [2n], dataType: 7, int64Data: [5n] });
  assertEquals(tensorValue(short).data, null);
});

Deno.test("operators give a shape or nothing for any inputs", () => {
  const tensor = fc.array(fc.nat(3), { maxLength: 4 }).chain((dims) =>
    fc.record({
      dims: fc.constant(dims),
      integer: fc.boolean(),
      data: fc.oneof(
        fc.constant(null),
        fc.array(fc.oneof(fc.integer({ min: -4, max: 5 }), fc.constantFrom(0.5, 2 ** 63)), {
          minLength: dims.reduce((all, dim) => all * dim, 1),
          maxLength: dims.reduce((all, dim) => all * dim, 1),
        }).map((values) => Float64Array.from(values)),
      ),
    })
  );
  const attribute = fc.constantFrom(
    "axis",
    "axes",
    "perm",
    "keepdims",
    "upper",
    "to",
    "start",
    "N",
  );
  const node = fc.dictionary(attribute, fc.integer({ min: -4, max: 5 })).map((values) =>
    create(NodeProtoSchema, {
      attribute: Object.entries(values).map(([name, value]) => ({
        name,
        i: BigInt(value),
        ints: [BigInt(value)],
      })),
    })
  );
  const inputs = fc.array(fc.option(tensor, { nil: undefined }), { maxLength: 5 });
  fc.assert(
    fc.property(fc.constantFrom(...OPERATORS.keys()), inputs, node, (operator, inputs, node) => {
      const result = OPERATORS.get(operator)!(inputs, node);
      for (const each of Array.isArray(result) ? result : [result]) {
        if (!each?.data) continue;
        const length = each.dims.reduce((all, dim) => all * dim, 1);
        assert(each.data.length === length, `${operator}: ${each.data.length} of [${each.dims}]`);
      }
    }),
    { numRuns: 3000 },
  );
});

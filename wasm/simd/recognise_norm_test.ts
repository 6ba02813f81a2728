import { assertEquals, assertThrows } from "@std/assert";
import { TensorProto_DataType as DataType } from "../gen/onnx/onnx_pb.ts";
import { floats, graphModel, integers, type NodeList } from "./_graph.ts";
import { GraphView, Mismatch } from "./graph_view.ts";
import { matchNorm, matchSum } from "./recognise_norm.ts";

function view(nodes: NodeList): GraphView {
  return new GraphView(
    "block",
    graphModel({
      inputs: { "x": [1, null, 32], "r": [1, null, 32] },
      outputs: ["y"],
      nodes,
      constants: [
        floats("w", [32], new Array(32).fill(1)),
        floats("w1", [1, 1, 32], new Array(32).fill(1)),
        floats("two", [], [2]),
        floats("one", [1], [1]),
        floats("minus half", [], [-0.5]),
        floats("eps", [1], [0.25]),
        integers("last", [1], [-1]),
        integers("second", [1], [1]),
      ],
    }),
  );
}

/** The input's name and epsilon. */
function norm(nodes: NodeList): [string, number] | undefined {
  const found = matchNorm(view(nodes), "y", 32);
  return found && [found.input, found.norm.epsilon];
}

const SQUARES: NodeList = [
  ["Pow", ["x", "two"], ["squares"]],
  ["ReduceMean", ["squares"], ["mean"], { axes: [-1], keepdims: 1 }],
  ["Add", ["mean", "eps"], ["sum"]],
];
const ROOT: NodeList = [...SQUARES, ["Sqrt", ["sum"], ["root"]]];

Deno.test("matchNorm() reads RMSNorm in its parts, in any order", () => {
  const forms: Record<string, NodeList> = {
    "optimum": [
      ...ROOT,
      ["Div", ["one", "root"], ["inverse"]],
      ["Mul", ["x", "inverse"], ["normed"]],
      ["Mul", ["w", "normed"], ["y"]],
    ],
    "a reciprocal, the weight first": [
      ...ROOT,
      ["Reciprocal", ["root"], ["inverse"]],
      ["Mul", ["w1", "x"], ["weighed"]],
      ["Mul", ["inverse", "weighed"], ["y"]],
    ],
    "a power": [
      ...SQUARES,
      ["Pow", ["sum", "minus half"], ["inverse"]],
      ["Mul", ["inverse", "w"], ["weighed"]],
      ["Mul", ["x", "weighed"], ["y"]],
    ],
    "a quotient": [
      ...ROOT,
      ["Div", ["x", "root"], ["normed"]],
      ["Mul", ["normed", "w"], ["y"]],
    ],
    "a square as a product, axes as an input, casts": [
      ["Cast", ["x"], ["single"], { to: DataType.FLOAT }],
      ["Mul", ["single", "x"], ["squares"]],
      ["ReduceMean", ["squares", "last"], ["mean"]],
      ["Add", ["eps", "mean"], ["sum"]],
      ["Sqrt", ["sum"], ["root"]],
      ["Div", ["one", "root"], ["inverse"]],
      ["Mul", ["single", "inverse"], ["normed"]],
      ["Cast", ["normed"], ["half"], { to: DataType.FLOAT16 }],
      ["Mul", ["w", "half"], ["y"]],
    ],
  };
  for (const [name, nodes] of Object.entries(forms)) assertEquals(norm(nodes), ["x", 0.25], name);
});

Deno.test("matchNorm() knows what is none", () => {
  const tail: NodeList = [
    ["Div", ["one", "root"], ["inverse"]],
    ["Mul", ["x", "inverse"], ["normed"]],
    ["Mul", ["w", "normed"], ["y"]],
  ];
  const cases: NodeList[] = [
    [["Mul", ["x", "w"], ["y"]]],
    [
      ["Pow", ["x", "two"], ["squares"]],
      ["ReduceMean", ["squares"], ["mean"], { axes: [-1], keepdims: 1 }],
      ["Sqrt", ["mean"], ["half"]],
      ["Add", ["half", "eps"], ["root"]],
      ...tail,
    ],
    [
      ["Pow", ["x", "two"], ["squares"]],
      ["ReduceMean", ["squares", "second"], ["mean"]],
      ["Add", ["mean", "eps"], ["sum"]],
      ["Sqrt", ["sum"], ["root"]],
      ...tail,
    ],
    [["LayerNormalization", ["x", "w"], ["y"]]],
  ];
  for (const nodes of cases) assertEquals(norm(nodes), undefined);
  const other: NodeList = [
    ...ROOT,
    ["Div", ["one", "root"], ["inverse"]],
    ["Mul", ["r", "inverse"], ["normed"]],
    ["Mul", ["w", "normed"], ["y"]],
  ];
  assertThrows(() => norm(other), Mismatch, "constant weight");
  assertThrows(
    () => norm([["SimplifiedLayerNormalization", ["x", "w"], ["y"], { axis: 1 }]]),
    Mismatch,
    "not over 32 values",
  );
});

Deno.test("matchNorm() and matchSum() read a fused sum, given out or not", () => {
  for (const sum of ["sum", ""]) {
    const graph = view([
      ["com.microsoft.SkipSimplifiedLayerNormalization", ["x", "r", "w"], ["y", "", "", sum], {
        epsilon: { float: 0.5 },
      }],
    ]);
    const found = matchNorm(graph, "y", 32);
    assertEquals(found?.norm.epsilon, 0.5);
    assertEquals(matchSum(graph, found!.input), ["x", "r"]);
  }
  const biased = view([
    ["com.microsoft.SkipSimplifiedLayerNormalization", ["x", "r", "w", "w"], ["y", "", "", "s"]],
  ]);
  assertThrows(() => matchSum(biased, "s"), Mismatch, "bias");
});

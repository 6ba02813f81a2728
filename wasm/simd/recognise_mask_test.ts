import { assertEquals, assertThrows } from "@std/assert";
import { floats, graphModel, integers, type NodeList } from "./_graph.ts";
import { GraphView, Mismatch } from "./graph_view.ts";
import { evaluateLayer, type LayerRun } from "./partial_evaluation.ts";
import { maskWindow } from "./recognise_mask.ts";

const RUN: LayerRun = {
  past: 12,
  positions: [12, 13, 14, 15, 16],
  dModel: 64,
  kvHeads: 2,
  headDim: 16,
};

/** A mask whose masked cells are those of `nodes`' value "masked", of rows r [T,1] and columns c [S]. */
function window(nodes: NodeList, size: number): number | null {
  const view = new GraphView(
    "layer.0",
    graphModel({
      inputs: { "hidden": [1, null, 64], "past.key": [1, 2, null, 16] },
      outputs: ["mask"],
      constants: [
        integers("zero", [], [0]),
        integers("one", [], [1]),
        integers("two", [], [2]),
        integers("minus one", [1], [-1]),
        integers("front", [2], [0, 1]),
        integers("size", [], [size]),
        floats("lowest", [], [-3e38]),
        floats("none", [], [0]),
      ],
      nodes: [
        ["Shape", ["past.key"], ["cache"]],
        ["Gather", ["cache", "two"], ["past"]],
        ["Shape", ["hidden"], ["rows"]],
        ["Gather", ["rows", "one"], ["count"]],
        ["Add", ["past", "count"], ["total"]],
        ["Range", ["zero", "total", "one"], ["c"]],
        ["Range", ["past", "total", "one"], ["r0"]],
        ["Unsqueeze", ["r0", "minus one"], ["r"]],
        ["Greater", ["c", "r"], ["later"]],
        ...nodes,
        ["Where", ["masked", "lowest", "none"], ["flat"]],
        ["Unsqueeze", ["flat", "front"], ["mask"]],
      ],
    }),
  );
  return maskWindow(view, "mask", RUN, evaluateLayer(view, RUN));
}

const CAUSAL: NodeList = [["Identity", ["later"], ["masked"]]];
const SLIDING: NodeList = [
  ["Sub", ["r", "size"], ["before"]],
  ["LessOrEqual", ["c", "before"], ["gone"]],
  ["Or", ["later", "gone"], ["masked"]],
];

Deno.test("maskWindow() tells a causal mask from windows of any length", () => {
  assertEquals(window(CAUSAL, 0), null);
  for (const size of [1, 2, 12, 16, 17, 18, 500, 4096, 40_000]) {
    assertEquals(window(SLIDING, size), size);
  }
});

Deno.test("maskWindow() sees what happens at a length only", () => {
  const chunked: NodeList = [
    ["Div", ["c", "size"], ["chunk"]],
    ["Div", ["r", "size"], ["own"]],
    ["Less", ["chunk", "own"], ["gone"]],
    ["Or", ["later", "gone"], ["masked"]],
  ];
  for (const size of [8, 100]) {
    assertThrows(() => window(chunked, size), Mismatch, "neither causal nor a sliding window");
  }
  assertThrows(() => window(SLIDING, 2 ** 20), Mismatch, "changes at a length of 1048576");
});

Deno.test("maskWindow() refuses other masks", () => {
  const refused = (nodes: NodeList) =>
    assertThrows(() => window(nodes, 0), Mismatch, "neither causal nor a sliding window");
  refused([["Greater", ["r", "c"], ["masked"]]]);
  refused([["GreaterOrEqual", ["c", "r"], ["masked"]]]);
  refused([["Less", ["c", "r"], ["earlier"]], ["And", ["later", "earlier"], ["masked"]]]);
  assertThrows(
    () => window([["Gelu", ["later"], ["masked"]]], 0),
    Mismatch,
    "does not follow from lengths alone",
  );
});

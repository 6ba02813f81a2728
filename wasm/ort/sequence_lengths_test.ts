import { assertEquals } from "@std/assert";
import { tinyBlocks } from "../_tiny_blocks.ts";
import { joinBlocks } from "./join.ts";
import { liftSequenceLengths, SEQLENS_K, TOTAL_SEQUENCE_LENGTH } from "./sequence_lengths.ts";

function joined() {
  return joinBlocks(tinyBlocks().slice(1, 3));
}

Deno.test("liftSequenceLengths() makes inputs of the lengths and removes what made them", () => {
  const model = joined();
  liftSequenceLengths(model);
  const { node, input } = model.graph!;
  assertEquals(node.filter(({ opType }) => opType === "Cast" || opType === "ReduceSum"), []);
  assertEquals(
    input.map(({ name }) => name).filter((name) => !/^(past|hidden)/.test(name)),
    [SEQLENS_K, TOTAL_SEQUENCE_LENGTH],
  );
  for (const each of node.filter(({ opType }) => opType === "GroupQueryAttention")) {
    assertEquals(each.input.slice(5, 7), [SEQLENS_K, TOTAL_SEQUENCE_LENGTH]);
  }
});

Deno.test("liftSequenceLengths() leaves lengths alone that depend on more than the mask", () => {
  const model = joined();
  const sums = model.graph!.node.filter(({ opType }) => opType === "ReduceSum");
  for (const sum of sums) sum.input[0] = "hidden";
  liftSequenceLengths(model);
  const { node, input } = model.graph!;
  assertEquals(node.filter(({ opType }) => opType === "ReduceSum"), sums);
  assertEquals(input.map(({ name }) => name).includes(SEQLENS_K), false);
  assertEquals(input.map(({ name }) => name).includes(TOTAL_SEQUENCE_LENGTH), true);
});

Deno.test("liftSequenceLengths() keeps a mask that something else reads", () => {
  const model = joined();
  const [first] = model.graph!.node.filter(({ opType }) => opType === "Add");
  first!.input[1] = "attention_mask";
  liftSequenceLengths(model);
  assertEquals(model.graph!.input.some(({ name }) => name === "attention_mask"), true);
});

Deno.test("liftSequenceLengths() changes nothing in a graph without the operator", () => {
  const [embed] = tinyBlocks();
  const model = joinBlocks([embed!]);
  liftSequenceLengths(model);
  assertEquals(model, joinBlocks([tinyBlocks()[0]!]));
});

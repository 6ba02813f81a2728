import { assertEquals, assertThrows } from "@std/assert";
import { tinyBlocks } from "../_tiny_blocks.ts";
import { MdiError } from "../error.ts";
import { joinBlocks } from "./join.ts";

const names = (values: { name: string }[]) => values.map(({ name }) => name);

Deno.test("joinBlocks() numbers the caches from 0 and shares what layers have in common", () => {
  const [, , second, third] = tinyBlocks();
  const { graph } = joinBlocks([second!, third!]);
  assertEquals(names(graph!.input), [
    "hidden",
    "attention_mask",
    "past.0.key",
    "past.0.value",
    "past.1.key",
    "past.1.value",
  ]);
  assertEquals(names(graph!.output), [
    "present.0.key",
    "present.0.value",
    "present.1.key",
    "present.1.value",
    "hidden_out",
  ]);
  assertEquals(new Set(names(graph!.node)).size, graph!.node.length);
});

Deno.test("joinBlocks() feeds each block with what the one before it gives", () => {
  const [embed, first] = tinyBlocks();
  const { graph } = joinBlocks([embed!, first!]);
  assertEquals(graph!.input[0]!.name, "input_ids");
  const given = new Set([...names(graph!.input), ...names(graph!.initializer)]);
  for (const node of graph!.node) {
    for (const input of node.input) assertEquals(given.has(input), true, `${node.name}: ${input}`);
    for (const output of node.output) given.add(output);
  }
  for (const { name } of graph!.output) assertEquals(given.has(name), true, name);
});

Deno.test("joinBlocks() makes one initializer of two references to the same bytes", () => {
  const blocks = tinyBlocks();
  const { graph } = joinBlocks(blocks);
  assertEquals(names(graph!.initializer).filter((name) => name === "embed@0"), ["embed@0"]);
  assertEquals(names(graph!.output).at(-1), "logits");
});

Deno.test("joinBlocks() leaves the blocks as they are", () => {
  const blocks = tinyBlocks();
  joinBlocks(blocks);
  assertEquals(blocks.map(({ model }) => model), tinyBlocks().map(({ model }) => model));
});

Deno.test("joinBlocks() refuses blocks that do not fit", () => {
  const refused = (change: (blocks: ReturnType<typeof tinyBlocks>) => void, why: string) => {
    const blocks = tinyBlocks().slice(1, 3);
    change(blocks);
    const error = assertThrows(() => joinBlocks(blocks), MdiError, why);
    assertEquals([error.code, error.details], ["model_corrupt", { block: "layer.1" }]);
  };
  refused(([, second]) => {
    second!.model.graph!.input[0]!.name = "hidden.0";
  }, "no block before it gives hidden.0");
  refused(([, second]) => {
    second!.model.opsetImport[0]!.version = 20n;
  }, 'version 20 of the operators ""');
  refused(([, second]) => {
    second!.model.graph!.input[2]!.name = "hidden.twice";
    second!.model.graph!.input[3]!.name = "hidden.twice";
  }, "two inputs hidden.twice");
});

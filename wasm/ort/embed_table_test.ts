import { assertEquals, assertThrows } from "@std/assert";
import { EMBEDDING, TINY, tinyBlocks, TinyFiles } from "../_tiny_blocks.ts";
import { OpenBlocks } from "../block_file.ts";
import { MdiError } from "../error.ts";
import { dequantiseRow } from "../gguf/dequantise.ts";
import { rowBytes } from "../gguf/types.ts";
import { planEmbedTable } from "./embed_table.ts";

const { dModel, vocab } = TINY;

Deno.test("planEmbedTable() makes a table that gives the rows of its token ids", async () => {
  await using files = await TinyFiles.write();
  using blocks = await OpenBlocks.open(files.spec().blocks);
  const plan = planEmbedTable(blocks, dModel)!;
  assertEquals(plan.bytes, EMBEDDING.length);
  using table = await plan.load();
  const ids = Int32Array.of(0, vocab - 1, 7, 7);
  const expected = new Float32Array(ids.length * dModel);
  ids.forEach((id, i) =>
    dequantiseRow("Q8_0", EMBEDDING, id * rowBytes("Q8_0", dModel), dModel, expected, i * dModel)
  );
  assertEquals(table.embed(ids), expected);
  assertThrows(() => table.embed(Int32Array.of(vocab)), RangeError, `the vocabulary has ${vocab}`);
  assertThrows(() => table.embed(Int32Array.of(-1)), RangeError, "token id -1");
});

Deno.test("planEmbedTable() refuses a table of another size and leaves other graphs alone", async () => {
  await using files = await TinyFiles.write();
  using blocks = await OpenBlocks.open(files.spec().blocks);
  assertThrows(() => planEmbedTable(blocks, 32), MdiError, "Cannot load the embedding");
  const [embed] = tinyBlocks();
  embed!.model.graph!.node[0]!.domain = "com.example";
  await using other = await TinyFiles.write([embed!]);
  using otherBlocks = await OpenBlocks.open(other.spec().blocks);
  assertEquals(planEmbedTable(otherBlocks, dModel), undefined);
});

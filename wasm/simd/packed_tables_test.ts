import { assertEquals, assertRejects } from "@std/assert";
import { OpenBlocks } from "../block_file.ts";
import { MdiError } from "../error.ts";
import { packed, RandomModel, withFile } from "./_random_model.ts";
import type { DecoderBlock, Rope, Vector } from "./decoder.ts";
import type { PackedLayer, PackedRope } from "./packed_block.ts";
import { PackedFile } from "./packed_file.ts";
import { loadTable, tableKey } from "./packed_tables.ts";

type PackedTables = Extract<PackedRope, { type: "table" }>;
type DecoderTables = Extract<Rope, { type: "table" }>;

Deno.test("a packed layer's rotary tables stay in their block, or come from the graph", async () => {
  const model = new RandomModel("shared");
  const layer = model.layer();
  const stored = (layer.rope as DecoderTables).sin;
  const values = model.values.get(stored)!;
  const inline = (dtype: "f32" | "f16", from: Float32Array): Vector => ({
    length: from.length,
    dtype,
    source: new Uint8Array((dtype === "f32" ? from : Float16Array.from(from)).buffer),
  });
  const rope = (sin: Vector): DecoderBlock => ({ ...layer, rope: { ...layer.rope, sin } as Rope });
  const keys: string[] = [];
  const other = model.vector(80);
  const otherValues = model.values.get(other)!;
  const cases: [Vector, Float32Array][] = [
    [stored, values],
    [other, otherValues],
    [inline("f32", values), values],
    [inline("f16", values), values],
    [inline("f32", otherValues), otherValues],
  ];
  await withFile(model.data.file(), async (shared) => {
    using blocks = await OpenBlocks.open([{ name: "shared", path: shared }]);
    for (const [vector, expected] of cases) {
      await withFile(await packed(model, rope(vector)), async (path) => {
        using file = await PackedFile.open(path);
        const { sin } = (file.block as PackedLayer).rope as PackedTables;
        keys.push(tableKey(sin));
        assertEquals(await loadTable(sin, file, blocks), expected);
      });
    }
    const cut = { ...stored, source: { block: "shared", offset: 2 ** 40, length: 160 } };
    await withFile(await packed(model, rope(cut)), async (path) => {
      using file = await PackedFile.open(path);
      const { sin } = (file.block as PackedLayer).rope as PackedTables;
      await assertRejects(() => loadTable(sin, file, blocks), MdiError, "it ends at byte");
    });
  });
  const [first, second, third, same, last] = keys;
  assertEquals(same, third);
  assertEquals(new Set([first, second, third, last]).size, 4);
});

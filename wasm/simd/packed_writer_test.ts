import { assert, assertEquals, assertRejects } from "@std/assert";
import { MdiError } from "../error.ts";
import { packed, Q4_1, Q8_0, RandomModel, withFile } from "./_random_model.ts";
import type { DecoderBlock, Matrix, Rope } from "./decoder.ts";
import type { PackedHead } from "./packed_block.ts";
import { PackedFile } from "./packed_file.ts";
import { planPackedBlock, sourceBlocks } from "./packed_plan.ts";

Deno.test("a head that shares the embed block's table refers to it", async () => {
  const model = new RandomModel("embed");
  const table = model.matrix(Q8_0, 300, 64);
  const norm = { weight: model.vector(64), epsilon: 1e-6 };
  const head = (weight: Matrix): DecoderBlock => ({
    kind: "head",
    norm,
    weight: { weight, bias: null },
  });
  await withFile(await packed(model, head({ ...table }), table), async (path) => {
    using file = await PackedFile.open(path);
    const { weight } = file.block as PackedHead;
    assertEquals(weight, { weight: { tied: "embed", n: 300, k: 64 }, bias: null });
    assertEquals(file.dataBytes, 4 * 64);
  });
  const others: Matrix[] = [
    model.matrix(Q8_0, 300, 64),
    model.matrix(Q4_1, 300, 64),
    { ...table, n: 299, sources: [{ block: "embed", offset: 0, length: 299 * 68 }] },
  ];
  for (const other of others) {
    const { index } = planPackedBlock(head(other), { embed: table });
    assert("kind" in (index as PackedHead).weight.weight);
  }
});

Deno.test("writePackedBlock() refuses blocks that contradict themselves", async () => {
  const model = new RandomModel("layer.0");
  const layer = model.layer();
  const cases: [DecoderBlock, string, string][] = [
    [{ ...layer, heads: 5 }, "model_unsupported", "heads"],
    [{ ...layer, up: model.linear(Q4_1, 64, 64) }, "model_unsupported", "[64, 64], not [96, 64]"],
    [{ ...layer, scale: NaN }, "model_unsupported", "scale is no number"],
    [
      { ...layer, inputNorm: { ...layer.inputNorm, weight: { ...model.vector(64), length: 63 } } },
      "model_unsupported",
      "63 values, not 64",
    ],
    [
      { ...layer, inputNorm: { ...layer.inputNorm, weight: { ...model.vector(65), length: 64 } } },
      "model_corrupt",
      "260 bytes",
    ],
    [{ ...layer, gate: model.linear(Q4_1, 96, 32) }, "model_unsupported", "not [96, 64]"],
  ];
  for (const [block, code, message] of cases) {
    const error = await assertRejects(() => packed(model, block), MdiError, message);
    assertEquals(error.code, code);
  }
});

Deno.test("sourceBlocks() names the blocks that hold a block's weights", () => {
  const layer = new RandomModel("layer.0").layer();
  const output = new RandomModel("shared").linear(Q8_0, 64, 64);
  assertEquals(sourceBlocks(layer), ["layer.0"]);
  assertEquals(sourceBlocks({ ...layer, output }).sort(), ["layer.0", "shared"]);
  const { cos, sin } = new RandomModel("shared").layer().rope as Extract<Rope, { type: "table" }>;
  assertEquals(sourceBlocks({ ...layer, rope: { ...layer.rope, cos, sin } as Rope }), ["layer.0"]);
});

import { assertEquals, assertRejects } from "@std/assert";
import { packed, Q4_1, Q8_0, RandomModel, weights, withFile } from "./_random_model.ts";
import type { DecoderBlock } from "./decoder.ts";
import type { PackedMatrix, PackedVector } from "./packed_block.ts";
import { PackedFile } from "./packed_file.ts";
import { UnkeptBlock } from "./packed_source.ts";
import { checkedPlan } from "./packed_writer.ts";

Deno.test("UnkeptBlock reads the bytes that a packed file has, and counts them all", async () => {
  const model = new RandomModel("layer.0");
  const blocks: DecoderBlock[] = [
    model.layer(),
    { kind: "embed", table: model.matrix(Q8_0, 300, 64) },
    { kind: "head", norm: null, weight: model.linear(Q4_1, 300, 64, true) },
  ];
  for (const block of blocks) {
    await withFile(await packed(model, block), async (path) => {
      using file = await PackedFile.open(path);
      let counted = 0;
      const plan = checkedPlan(block);
      const unkept = new UnkeptBlock(plan, model.data.read, (bytes) => counted += bytes);
      assertEquals(unkept.block, file.block);
      for (const [at, place] of weights(file.block)) {
        const { offset, bytes, length } = place as PackedMatrix & PackedVector;
        const [kept, now] = [0, 1].map(() => new Uint8Array(bytes ?? 4 * length));
        await file.readInto(offset, kept!);
        await unkept.readInto(offset, now!);
        assertEquals(now, kept, at);
      }
      assertEquals(counted, plan.dataBytes);
      await assertRejects(() => unkept.readInto(1, new Uint8Array(4)), TypeError, "none begin");
    });
  }
});

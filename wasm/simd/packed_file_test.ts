import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { acceptOrRefuseAsync, damagedBytes, damagedJson } from "../../tests/support/hostile.ts";
import { align } from "../block.ts";
import { MdiError } from "../error.ts";
import { packed, Q4_1, Q8_0, RandomModel, weights, withFile } from "./_random_model.ts";
import { unpackMatrix } from "./_unpack.ts";
import type { DecoderBlock } from "./decoder.ts";
import type { PackedLayer, PackedMatrix, PackedVector } from "./packed_block.ts";
import { DIGEST_BYTES } from "./packed_digest.ts";
import { PACKED_HEADER_BYTES, PackedFile } from "./packed_file.ts";
import { planPackedBlock } from "./packed_plan.ts";

async function readMatrix(file: PackedFile, { kind, n, k, offset, bytes }: PackedMatrix) {
  const out = new Uint8Array(new SharedArrayBuffer(bytes));
  await file.readInto(offset, out);
  return unpackMatrix(kind, out, n, k);
}

async function readVector(file: PackedFile, { length, offset }: PackedVector) {
  const out = new Float32Array(align(4 * length) / 4);
  await file.readInto(offset, new Uint8Array(out.buffer));
  assert(out.subarray(length).every((value) => value === 0), "zeros follow a vector");
  return out.slice(0, length);
}

Deno.test("a packed file gives back every weight of a block", async () => {
  const model = new RandomModel("layer.0");
  const three = (it: RandomModel) => [
    it.linear(Q4_1, 64, 64),
    it.linear({ type: "int8", signed: true, transposed: true, perRow: false }, 32, 64),
    it.linear({ type: "float", dtype: "f16", transposed: true }, 32, 64),
  ];
  const blocks: DecoderBlock[] = [
    model.layer(),
    model.layer(three),
    {
      ...model.layer(),
      window: 100,
      outputNorm: { weight: model.vector(64), epsilon: 1e-5 },
    },
    { kind: "embed", table: model.matrix(Q8_0, 300, 64) },
    {
      kind: "head",
      norm: { weight: model.vector(64, "f16"), epsilon: 1e-6 },
      weight: model.linear(Q4_1, 300, 64, true),
    },
    { kind: "head", norm: null, weight: model.linear(Q8_0, 300, 64) },
  ];
  for (const block of blocks) {
    const bytes = await packed(model, block);
    assertEquals(bytes.length % 64, DIGEST_BYTES);
    await withFile(bytes, async (path) => {
      using file = await PackedFile.open(path);
      assertEquals(file.dataBytes, planPackedBlock(block).dataBytes);
      // What a rotation is made of is not packed.
      const stored = weights({ ...block, rope: null });
      const found = weights(file.block);
      assertEquals([...found.keys()].sort(), [...stored.keys()].sort());
      for (const [at, place] of found) {
        const values = "kind" in (place as object)
          ? await readMatrix(file, place as PackedMatrix)
          : await readVector(file, place as PackedVector);
        assertEquals(values, model.values.get(stored.get(at)), at);
      }
      if (block.kind !== "layer") return;
      const { scale, window, heads, half } = file.block as PackedLayer;
      assertEquals([scale, window, heads, half], [0.25, block.window, 4, block.rope.half]);
    });
  }
});

Deno.test("PackedFile.open() refuses what is no packed file, and names it", async () => {
  const model = new RandomModel("layer.0");
  const bytes = await packed(model, model.layer());
  const view = new DataView(bytes.buffer);
  const indexBytes = view.getUint32(12, true);
  const changed = (change: (copy: DataView) => void) => {
    const copy = bytes.slice();
    change(new DataView(copy.buffer));
    return copy;
  };
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(0), "header"],
    [changed((it) => it.setUint8(0, 0)), "header"],
    [changed((it) => it.setUint32(8, 1, true)), "version is 1"],
    [changed((it) => it.setUint32(12, 0xffffffff, true)), "too long"],
    [changed((it) => it.setUint32(12, indexBytes - 1, true)), "cannot be read"],
    [bytes.slice(0, -64), "do not fit"],
    [bytes.slice(0, align(PACKED_HEADER_BYTES + indexBytes)), "too long"],
  ];
  for (const [file, message] of cases) {
    await withFile(file, async (path) => {
      const error = await assertRejects(() => PackedFile.open(path), MdiError, message);
      assertEquals(error.code, "model_corrupt");
      assert(error.message.includes(path));
    });
  }
  await withFile(bytes, async (path) => {
    using file = await PackedFile.open(path);
    await Deno.truncate(path, bytes.length - DIGEST_BYTES - 1);
    const last = new Uint8Array(64);
    const read = () => file.readInto(file.dataBytes - 64, last);
    const error = await assertRejects(read, MdiError, "it ends inside");
    assertEquals(error.code, "model_corrupt");
    const missing = await assertRejects(() => PackedFile.open(`${path}.no`), MdiError);
    assertEquals(missing.code, "model_missing");
  });
});

Deno.test("PackedFile.isIntact() believes a mark, hashes what has none, and sees every flipped bit", async () => {
  const model = new RandomModel("layer.0");
  const bytes = await packed(model, model.layer());
  await withFile(bytes, async (path) => {
    using file = await PackedFile.open(path);
    const times = async () => (await Deno.stat(path)).mtime;
    const written = await times();
    assert(await file.isIntact());
    const marked = await times();
    assert(marked! < written!, "it is marked");
    const dataOffset = bytes.length - DIGEST_BYTES - file.dataBytes;
    for (const at of [dataOffset, dataOffset + 1000, bytes.length - DIGEST_BYTES - 1]) {
      const changed = bytes.slice();
      changed[at]! ^= 1;
      await Deno.writeFile(path, changed);
      assertEquals(await file.isIntact(), false, `byte ${at}`);
      // Nothing tells it from the right one now, unless it is hashed.
      await Deno.utime(path, marked!, marked!);
      assert(await file.isIntact());
    }
    bytes[bytes.length - 1]! ^= 1;
    await Deno.writeFile(path, bytes);
    await Deno.utime(path, new Date(), new Date());
    assertEquals(await file.isIntact(), false, "the digest itself");
  });
});

/** Whatever an index is accepted with, all that it names can be read. */
async function readsWhole(path: string): Promise<void> {
  await acceptOrRefuseAsync(async () => {
    using file = await PackedFile.open(path);
    for (const [, place] of weights(file.block)) {
      const { offset, bytes, length } = place as PackedMatrix & PackedVector;
      await file.readInto(offset, new Uint8Array(align(bytes ?? 4 * length)));
    }
  });
}

Deno.test("PackedFile.open() survives damaged bytes", async () => {
  const model = new RandomModel("layer.0");
  const bytes = await packed(model, model.layer());
  const end = PACKED_HEADER_BYTES + new DataView(bytes.buffer).getUint32(12, true);
  await withFile(bytes, async (path) => {
    await fc.assert(
      fc.asyncProperty(damagedBytes(bytes, { end }), async (damaged) => {
        await Deno.writeFile(path, damaged);
        await readsWhole(path);
      }),
      { numRuns: 300 },
    );
  });
});

Deno.test("PackedFile.open() survives damaged indices", async () => {
  const model = new RandomModel("layer.0");
  const bytes = await packed(model, model.layer());
  const indexBytes = new DataView(bytes.buffer).getUint32(12, true);
  const dataOffset = align(PACKED_HEADER_BYTES + indexBytes);
  const text = new TextDecoder().decode(
    bytes.subarray(PACKED_HEADER_BYTES).subarray(0, indexBytes),
  );
  await withFile(bytes, async (path) => {
    await fc.assert(
      fc.asyncProperty(damagedJson(JSON.parse(text)), async (index) => {
        const json = new TextEncoder().encode(JSON.stringify(index));
        const data = align(PACKED_HEADER_BYTES + json.length);
        const file = new Uint8Array(data + bytes.length - dataOffset);
        file.set(bytes.subarray(0, PACKED_HEADER_BYTES));
        new DataView(file.buffer).setUint32(12, json.length, true);
        file.set(json, PACKED_HEADER_BYTES);
        file.set(bytes.subarray(dataOffset), data);
        await Deno.writeFile(path, file);
        await readsWhole(path);
      }),
      { numRuns: 300 },
    );
  });
});

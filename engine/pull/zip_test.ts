import { assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import fc from "fast-check";
import { MdiError } from "../../wasm/error.ts";
import { noise } from "../store/_test_util.ts";
import { readZipMember } from "./zip.ts";
import { runs } from "./_test_hub.ts";
import { writeZip } from "./_zip_writer.ts";

const data = new Uint8Array(700_000).map((_, i) => i % 1000 < 900 ? i % 251 : 7);

async function withZip(
  zip: Uint8Array,
  fn: (path: string) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mdi-zip-" });
  try {
    await Deno.writeFile(join(dir, "x.whl"), zip);
    await fn(join(dir, "x.whl"));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function read(path: string, name: string, bytes: number): Promise<Uint8Array> {
  const chunks = await Array.fromAsync(readZipMember(path, name, bytes));
  return await new Blob(chunks as BlobPart[]).bytes();
}

Deno.test("readZipMember() reads stored and deflated members", async () => {
  for (const deflate of [false, true]) {
    const zip = await writeZip(
      { "a/b.txt": noise(10, 1), "a/m.gguf": data, "z": noise(5, 2) },
      deflate,
    );
    await withZip(zip, async (path) => {
      assertEquals(await read(path, "a/m.gguf", data.length), data);
      assertEquals(await read(path, "z", 5), noise(5, 2));
      await assertRejects(() => read(path, "a/m", 5), MdiError, "does not hold it");
      await assertRejects(() => read(path, "z", 6), MdiError, "it has 5 bytes, expected 6");
    });
  }
});

const hasPython = await runs("python3", "--version");

Deno.test({
  name: "readZipMember() reads what Python writes (needs python3)",
  ignore: !hasPython,
  async fn() {
    const dir = await Deno.makeTempDir({ prefix: "mdi-zip-" });
    try {
      await Deno.writeFile(join(dir, "m.gguf"), data);
      const args = ["-m", "zipfile", "-c", "x.whl", "m.gguf"];
      await new Deno.Command("python3", { args, cwd: dir }).output();
      assertEquals(await read(join(dir, "x.whl"), "m.gguf", data.length), data);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});

Deno.test("readZipMember() refuses what is no zip, and a member that inflates too far", async () => {
  await withZip(noise(1000, 3), async (path) => {
    await assertRejects(() => read(path, "a", 1), MdiError, "not a zip file");
  });
  const bomb = await writeZip({ "m": data }, true);
  const view = new DataView(bomb.buffer);
  for (let at = 0; at < bomb.length - 4; at++) {
    if (view.getUint32(at, true) === 0x02014b50) view.setUint32(at + 24, 1000, true);
  }
  await withZip(bomb, async (path) => {
    await assertRejects(() => read(path, "m", 1000), MdiError, "inflates to more than 1000 bytes");
  });
});

Deno.test("readZipMember() throws nothing but MdiError on damaged files", async () => {
  const zip = await writeZip({ "m": data.subarray(0, 3000), "n": noise(9, 1) }, true);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(zip.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      fc.nat(zip.length),
      async (changes, cut) => {
        const damaged = zip.slice(0, cut % 3 === 0 ? cut : zip.length);
        for (const [at, value] of changes) if (at < damaged.length) damaged[at] = value;
        await withZip(damaged, async (path) => {
          try {
            await read(path, "m", 3000);
          } catch (error) {
            if (!(error instanceof MdiError)) throw error;
          }
        });
      },
    ),
    { numRuns: 150 },
  );
});

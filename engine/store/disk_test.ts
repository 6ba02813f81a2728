import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { MdiError } from "../../wasm/error.ts";
import { formatBytes } from "../format_bytes.ts";
import { diskError, freeBytes, namesIn } from "./disk.ts";
import { openStore } from "./store.ts";
import { noise, sha256, withStore } from "./_test_util.ts";

Deno.test("formatBytes() rounds as people do", () => {
  assertEquals(formatBytes(0), "0 bytes");
  assertEquals(formatBytes(999), "999 bytes");
  assertEquals(formatBytes(98_362_432), "98.4 MB");
  assertEquals(formatBytes(999_999), "1.0 MB");
  assertEquals(formatBytes(2e12), "2.0 TB");
});

Deno.test("diskError() leaves alone what the operating system did not say", async () => {
  const error = new Error("other");
  assertEquals(await diskError("write", "/tmp", error), error);
});

Deno.test("Store.ensureRoom() says what is needed and what is free", async () => {
  await withStore(async (store, dir) => {
    await store.ensureRoom(1, "a byte");
    if (await freeBytes(dir) === null) return;
    const error = await assertRejects(() => store.ensureRoom(2 ** 60, "a moon"), MdiError, "free");
    assertEquals(error.code, "disk");
    assertEquals(error.details.neededBytes, 2 ** 60);
    assert(Number(error.details.freeBytes) > 0);
  });
});

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000);
}

/** Mounts a file system of `size` at `path`; false where this machine does not allow it. */
async function mountTmpfs(path: string, size: string): Promise<boolean> {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return false;
  const args = ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path];
  try {
    return (await new Deno.Command("mount", { args, stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}

const probe = await Deno.makeTempDir({ prefix: "mdi-mount-" });
const canMount = await mountTmpfs(probe, "4k");
if (canMount) await new Deno.Command("umount", { args: [probe] }).output();
await Deno.remove(probe);

Deno.test({
  name:
    "Store survives a disk that is really full, or read-only (needs the right to mount a tmpfs)",
  ignore: !canMount,
  async fn() {
    const dir = await Deno.makeTempDir({ prefix: "mdi-full-" });
    assert(await mountTmpfs(dir, "512k"));
    try {
      const store = await openStore(dir);
      const small = await store.putNew([noise(10_000, 1)]);
      const bytes = noise(2_000_000, 2);
      const put = await assertRejects(
        () => store.putNew(pieces(bytes)),
        MdiError,
        "the disk is full",
      );
      assertEquals(put.code, "disk");
      assertEquals(await namesIn(store.layout.tmp), []);

      const hash = sha256(bytes);
      const received = await assertRejects(
        async () => {
          await using writer = await store.writer(hash, bytes.length);
          for (const chunk of pieces(bytes)) await writer.write(chunk);
        },
        MdiError,
        "the disk is full",
      );
      assertEquals(received.code, "disk");
      assert(Number(received.details.neededBytes) > 1_000_000);
      assertEquals(await store.has(hash), false);
      assertEquals(await namesIn(store.layout.tmp), [`${hash}.part`]);
      assertEquals(await Deno.readFile(store.path(small.hash)), noise(10_000, 1));

      await new Deno.Command("mount", { args: ["-o", "remount,ro", dir] }).output();
      for (const act of [() => openStore(join(dir, "new")), () => store.putNew([bytes])]) {
        const error = await assertRejects(act, MdiError, "the file system is read-only");
        assertEquals(error.code, "disk");
      }
    } finally {
      await new Deno.Command("umount", { args: [dir] }).output();
      await Deno.remove(dir);
    }
  },
});

import { assertEquals, assertRejects } from "@std/assert";
import { fileURLToPath } from "node:url";
import { MdiError } from "../../wasm/error.ts";
import { removeModel } from "./collect.ts";
import { namesIn } from "./disk.ts";
import { noise, putModel, sha256, withStore } from "./_test_util.ts";

Deno.test("a process that is killed leaves a part to go on with, and no lock and no pin", async () => {
  await withStore(async (store, dir) => {
    const { id } = await putModel(store, "a", [2, 3, 4]);
    const script = fileURLToPath(new URL("_crash_child.ts", import.meta.url));
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "--allow-all", script, dir, id],
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    try {
      const { value } = await reader.read();
      assertEquals(new TextDecoder().decode(value), "half\n");
      await assertRejects(() => removeModel(store.layout, "a"), MdiError, "is using it");
      await using other = await store.writer(sha256(noise(200_000, 1)), 200_000);
      assertEquals(other.resumeOffset, 0);
    } finally {
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel();
    }
    const bytes = noise(200_000, 1);
    await using writer = await store.writer(sha256(bytes), bytes.length);
    assertEquals(writer.resumeOffset, 100_000);
    await writer.write(bytes.subarray(100_000));
    await writer.commit();
    await removeModel(store.layout, "a");
    assertEquals(await namesIn(store.layout.pins), []);
    assertEquals(await namesIn(store.layout.tmp), []);
  });
});

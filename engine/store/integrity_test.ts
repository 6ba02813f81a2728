import { assertEquals } from "@std/assert";
import { noise, withStore } from "./_test_util.ts";

Deno.test("Store.intact() hashes again what was changed, keeps what is right and removes what is not", async () => {
  await withStore(async (store) => {
    const bytes = noise(100_000, 1);
    const { hash } = await store.putNew([bytes]);
    const path = store.path(hash);
    const checked = (await Deno.stat(path)).mtime!;
    assertEquals(await store.intact(hash), true);

    // The same bytes under another time are right, and marked so.
    await Deno.utime(path, new Date(), new Date());
    assertEquals(await store.intact(hash), true);
    assertEquals((await Deno.stat(path)).mtime, checked);

    bytes[50_000]! ^= 1;
    await Deno.writeFile(path, bytes);
    const block = { name: "layer.0", hash, bytes: bytes.length };
    const entry = { ...block, parameters: 0, dtypes: [], requires: [] };
    assertEquals(await store.missing([entry]), [entry]);
    assertEquals(await store.has(hash), false);
    assertEquals(await store.intact(hash), false);

    bytes[50_000]! ^= 1;
    await store.putNew([bytes]);
    assertEquals(await store.missing([entry]), []);
  });
});

import { assert, assertEquals, assertMatch } from "@std/assert";
import { checkIntegrity } from "./integrity.ts";
import { tryLock } from "./lock.ts";
import { openStore } from "./store.ts";
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

Deno.test("Store.missing() says of a damaged block that it has been removed", async () => {
  await withStore(async (_store, dir) => {
    const notes: string[] = [];
    const store = await openStore(dir, { onNote: (message) => notes.push(message) });
    const { hash, bytes } = await store.putNew([noise(1000, 1)]);
    const entry = { name: "layer.0", hash, bytes, parameters: 0, dtypes: [], requires: [] };
    assertEquals(await store.missing([entry]), []);
    assertEquals(notes, []);
    await Deno.truncate(store.path(hash), 500);
    assertEquals(await store.missing([entry]), [entry]);
    assertEquals(notes.length, 1);
    assertMatch(notes[0]!, /^removed .*: its sha256 is .*, so it was damaged$/);
  });
});

Deno.test("checkIntegrity() leaves a file that another process has put in the damaged one's place", async () => {
  await withStore(async (store) => {
    const { layout } = store;
    const bytes = noise(1000, 1);
    const { hash } = await store.putNew([bytes]);
    const path = store.path(hash);
    await Deno.writeFile(path, noise(1000, 2));
    const lock = (await tryLock(layout.lock))!;
    const checking = checkIntegrity(layout, path, { algorithm: "sha256", hex: hash });
    // It has hashed the damaged file and waits for the lock by now.
    await new Promise((done) => setTimeout(done, 200));
    await Deno.writeFile(`${path}.new`, bytes);
    await Deno.rename(`${path}.new`, path);
    lock.close();
    assert(await checking, "the block is right now");
    assertEquals(await Deno.readFile(path), bytes);
  });
});

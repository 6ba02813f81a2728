import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { join } from "node:path";
import { MdiError } from "../../wasm/error.ts";
import { namesIn } from "./disk.ts";
import { defaultHome } from "./layout.ts";
import { tryLock } from "./lock.ts";
import { openStore } from "./store.ts";
import { noise, putModel, sha256, withStore } from "./_test_util.ts";

Deno.test("defaultHome() takes $MDI_HOME, else ~/.cache/mdi", () => {
  assertEquals(defaultHome(new Map([["MDI_HOME", "/a/b"], ["HOME", "/h"]])), "/a/b");
  assertEquals(defaultHome(new Map([["HOME", "/h"]])), "/h/.cache/mdi");
  assertThrows(() => defaultHome(new Map()), MdiError, "MDI_HOME");
});

Deno.test("Store.putNew() stores bytes under their sha256, once", async () => {
  await withStore(async (store) => {
    const bytes = noise(300_000, 1);
    const { hash } = await store.putNew([bytes.subarray(0, 100_000), bytes.subarray(100_000)]);
    assertEquals(hash, sha256(bytes));
    assertEquals((await store.putNew([bytes])).hash, hash);
    assertEquals(await store.size(hash), 300_000);
    assertEquals(await Deno.readFile(store.path(hash)), bytes);
    assertEquals(await store.read(hash, 299_990, 100), bytes.subarray(299_990));
    const rest = await Array.fromAsync(store.stream(hash, 10));
    assertEquals(await new Blob(rest as BlobPart[]).bytes(), bytes.subarray(10));
    assertEquals(await namesIn(store.layout.tmp), []);
  });
});

Deno.test("Store.putNew() leaves nothing where its source fails", async () => {
  await withStore(async (store) => {
    async function* broken() {
      yield noise(1000, 1);
      await Promise.resolve();
      throw new Error("cut");
    }
    await assertRejects(() => store.putNew(broken()), Error, "cut");
    assertEquals(await namesIn(store.layout.tmp), []);
    assertEquals(await namesIn(store.layout.blocks), []);
  });
});

Deno.test("Store refuses a hash that is not one before it touches a path", async () => {
  await withStore(async (store) => {
    for (
      const bad of ["", "../../etc/passwd", "A".repeat(64), "a".repeat(63), `${"a".repeat(63)}/`]
    ) {
      assertThrows(() => store.path(bad), TypeError);
      await assertRejects(() => store.writer(bad, 1), TypeError);
      await assertRejects(() => store.has(bad), TypeError);
    }
  });
});

Deno.test("Store.writer() goes on after a break and stores what hashes right", async () => {
  await withStore(async (store, dir) => {
    const bytes = noise(200_000, 2);
    const hash = sha256(bytes);
    {
      await using writer = await store.writer(hash, bytes.length);
      assertEquals(writer.resumeOffset, 0);
      await writer.write(bytes.subarray(0, 70_000));
      const error = await assertRejects(() => writer.commit(), MdiError, "ended after 70000");
      assertEquals(error.code, "model_corrupt");
    }
    assertEquals(await store.has(hash), false);
    const other = await openStore(dir);
    await using writer = await other.writer(hash, bytes.length);
    assertEquals(writer.resumeOffset, 70_000);
    await writer.write(bytes.subarray(70_000));
    await writer.commit();
    assertEquals(await Deno.readFile(store.path(hash)), bytes);
    assertEquals(await namesIn(store.layout.tmp), []);
  });
});

Deno.test("Store.writer() deletes what has a wrong hash or too many bytes", async () => {
  await withStore(async (store) => {
    const hash = sha256("something else");
    {
      await using writer = await store.writer(hash, 1000);
      await writer.write(noise(1000, 3));
      const error = await assertRejects(() => writer.commit(), MdiError, "its sha256 is");
      assertEquals(error.code, "model_corrupt");
    }
    {
      await using writer = await store.writer(hash, 1000);
      assertEquals(writer.resumeOffset, 0);
      await assertRejects(() => writer.write(noise(1001, 3)), MdiError, "more than 1000 bytes");
    }
    assertEquals(await namesIn(store.layout.tmp), []);
    assertEquals(await store.has(hash), false);
  });
});

Deno.test("Store.writer() starts anew where the partial file is longer than the block", async () => {
  await withStore(async (store) => {
    const bytes = noise(100, 4);
    const hash = sha256(bytes);
    await Deno.writeFile(join(store.layout.tmp, `${hash}.part`), noise(101, 5));
    await using writer = await store.writer(hash, 100);
    assertEquals(writer.resumeOffset, 0);
    await writer.write(bytes);
    await writer.commit();
    assert(await store.has(hash));
  });
});

Deno.test("Store.writer() lets two receive the same block at the same time", async () => {
  await withStore(async (store, dir) => {
    const bytes = noise(200_000, 6);
    const hash = sha256(bytes);
    const stores = [store, await openStore(dir), await openStore(dir)];
    await Promise.all(stores.map(async (each) => {
      await using writer = await each.writer(hash, bytes.length);
      for (let at = writer.resumeOffset; at < bytes.length; at += 10_000) {
        await writer.write(bytes.subarray(at, at + 10_000));
      }
      await writer.commit();
    }));
    assertEquals(await Deno.readFile(store.path(hash)), bytes);
    assertEquals(await namesIn(store.layout.tmp), []);
  });
});

Deno.test("Store.writer() stops at an abort and keeps what came", async () => {
  await withStore(async (store) => {
    const bytes = noise(1000, 7);
    const hash = sha256(bytes);
    const abort = new AbortController();
    {
      await using writer = await store.writer(hash, 1000, { signal: abort.signal });
      await writer.write(bytes.subarray(0, 500));
      abort.abort(new Error("enough"));
      await assertRejects(() => writer.write(bytes.subarray(500)), Error, "enough");
    }
    await using writer = await store.writer(hash, 1000);
    assertEquals(writer.resumeOffset, 500);
  });
});

Deno.test("Store keeps manifests under their hash, and ignores damaged ones", async () => {
  await withStore(async (store) => {
    const { id, manifest } = await putModel(store, "one", [1, 2, 3]);
    assertEquals(await store.manifest(id), manifest);
    assertEquals((await store.text(manifest.textHash)).tokenizer, { name: "one" });
    const path = join(store.layout.manifests, `${id}.json`);
    await Deno.writeTextFile(path, JSON.stringify({ ...manifest, name: "two" }));
    assertEquals(await store.manifest(id), undefined);
    await Deno.writeTextFile(path, "{");
    assertEquals(await store.manifest(id), undefined);
  });
});

Deno.test("openStore() refuses another version and a place that cannot be written", async () => {
  await withStore(async (_store, dir) => {
    await Deno.writeTextFile(join(dir, "version"), "99\n");
    const error = await assertRejects(() => openStore(dir), MdiError, "its version is 99");
    assertEquals(error.code, "disk");
    await Deno.writeTextFile(join(dir, "file"), "");
    const blocked = await assertRejects(() => openStore(join(dir, "file", "home")), MdiError);
    assertEquals(blocked.code, "disk");
  });
  await assertRejects(() => openStore("/nowhere", { limitBytes: -1 }), RangeError);
});

Deno.test("Store.exclusively() lets one in at a time, and an abort ends the wait", async () => {
  await withStore(async (store, dir) => {
    const other = await openStore(dir);
    const order: string[] = [];
    const gate = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    const first = store.exclusively("work", "works", async () => {
      entered.resolve();
      await gate.promise;
      order.push("first");
    });
    await entered.promise;
    const second = other.exclusively("work", "works", () => Promise.resolve(order.push("second")));
    const signal = AbortSignal.abort(new Error("no patience"));
    await assertRejects(
      () => other.exclusively("work", "works", () => Promise.resolve(), { signal }),
      Error,
      "no patience",
    );
    gate.resolve();
    await Promise.all([first, second]);
    assertEquals(order, ["first", "second"]);
  });
});

Deno.test("a wait for another process is said once, and what that process does", async () => {
  await withStore(async (store, dir) => {
    const notes: string[] = [];
    const other = await openStore(dir, { onNote: (message) => notes.push(message) });
    const gate = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    const first = store.exclusively("work", "cuts tiny", async () => {
      entered.resolve();
      await gate.promise;
    });
    await entered.promise;
    const lock = (await tryLock(store.layout.lock))!;
    const second = other.exclusively("work", "cuts tiny", () => Promise.resolve());
    const pinning = other.pin();
    await new Promise((done) => setTimeout(done, 2600));
    lock.close();
    gate.resolve();
    await using _ = await pinning;
    await Promise.all([first, second]);
    assertEquals(notes.toSorted(), [
      "waiting for another mdi process that cuts tiny",
      `waiting for another mdi process that is using the store at ${store.layout.root}`,
    ]);
  });
});

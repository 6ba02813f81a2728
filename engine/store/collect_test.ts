import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { MdiError } from "../../wasm/error.ts";
import { PACKED_VERSION } from "../../wasm/simd/packed_file.ts";
import { evict, removeModel } from "./collect.ts";
import { manifestPath, writePulled } from "./records.ts";
import { listStore } from "./report.ts";
import { openStore, type Store } from "./store.ts";
import { verifyStore } from "./verify.ts";
import { noise, putModel, sha256, withStore } from "./_test_util.ts";

async function pretendPulled(store: Store, dir: string, name: string): Promise<string> {
  const path = join(store.layout.models, dir);
  await Deno.mkdir(path, { recursive: true });
  await Deno.writeFile(join(path, "m.gguf"), noise(5000, 9));
  const digest = { algorithm: "sha256", hex: sha256(noise(5000, 9)) } as const;
  const files = [{ path: "m.gguf", bytes: 5000, digest }];
  const record = { name, license: "mit", source: "hub", dtype: null, entry: "m.gguf", files };
  await writePulled(store.layout, dir, record);
  return join(path, "m.gguf");
}

async function usedAt(store: Store, id: string, minutesAgo: number): Promise<void> {
  const then = new Date(Date.now() - minutesAgo * 60_000);
  await Deno.utime(manifestPath(store.layout, id), then, then);
}

Deno.test("listStore() counts blocks, shared bytes and pulled files", async () => {
  await withStore(async (store) => {
    const a = await putModel(store, "a", [1, 2, 3]);
    await putModel(store, "b", [1, 2, 4]);
    await pretendPulled(store, "x--y", "x/y");
    await Deno.mkdir(join(store.layout.models, "half"));
    await Deno.remove(store.path(a.manifest.blocks[2]!.hash));
    await store.putNew([noise(77, 50)]);
    const list = await listStore(store.layout);
    const listed = list.models.find((model) => model.id === a.id)!;
    assertEquals(listed.blocks, { present: 2, total: 3 });
    assertEquals(listed.sharedBytes, 2000);
    assertEquals(list.orphanBytes, 77);
    assertEquals(
      list.pulled.map(({ name, complete, bytes }) => [name, complete, bytes > 4999]).sort(),
      [["half", false, false], ["x/y", true, true]],
    );
  });
});

Deno.test("removeModel() frees what no other model has", async () => {
  await withStore(async (store) => {
    const a = await putModel(store, "a", [1, 2, 3]);
    const b = await putModel(store, "b", [1, 2, 4]);
    const removed = await removeModel(store.layout, "a");
    assertEquals(removed.models, ["a"]);
    assertEquals(await store.manifest(a.id), undefined);
    assertEquals(await store.missing(b.manifest.blocks), []);
    assertEquals(await store.has(a.manifest.blocks[2]!.hash), false);
    assertEquals(await store.has(a.manifest.textHash), false);
    await removeModel(store.layout, b.id.slice(0, 12));
    assertEquals((await listStore(store.layout)).models, []);
    const error = await assertRejects(() => removeModel(store.layout, "b"), MdiError);
    assertEquals(error.code, "model_missing");
  });
});

Deno.test("removeModel() takes a model's pulled files with it, and the other way round", async () => {
  for (const by of ["a", "x/y", "x--y"]) {
    await withStore(async (store) => {
      const { id } = await putModel(store, "a", [1, 2, 3]);
      const file = await pretendPulled(store, "x--y", "x/y");
      await store.putImport("1".repeat(64), { manifest: id, files: [file] });
      await removeModel(store.layout, by);
      const { models, pulled, bytes } = await listStore(store.layout);
      assertEquals([models, pulled, bytes], [[], [], 0], by);
      assertEquals(await store.importOf("1".repeat(64)), undefined);
    });
  }
});

Deno.test("removeModel() removes what was derived from blocks, and it counts in the meantime", async () => {
  await withStore(async (store) => {
    const { manifest } = await putModel(store, "a", [1, 2, 3]);
    const kept = await putModel(store, "b", [1, 2, 4]);
    const [shared, , mine] = manifest.blocks.map(({ hash }) => `${hash}.packed`);
    for (const name of [mine!, shared!, `${"0".repeat(64)}.verdict`, "README"]) {
      await Deno.writeFile(join(store.layout.packed, name), noise(100, 3));
    }
    const before = (await listStore(store.layout)).bytes;
    const { bytes } = await removeModel(store.layout, "a");
    const left = await Array.fromAsync(Deno.readDir(store.layout.packed), ({ name }) => name);
    assertEquals(left.sort(), [shared, "README"].sort());
    assertEquals((await listStore(store.layout)).bytes, before - bytes);
    assertEquals(await store.missing(kept.manifest.blocks), []);
  });
});

Deno.test("evict() and verifyStore() remove what other versions of mdi packed, though its block is needed", async () => {
  await withStore(async (store) => {
    const { manifest, id } = await putModel(store, "a", [1, 2, 3]);
    await using _pin = await store.pin(id);
    const { hash } = manifest.blocks[0]!;
    const put = (name: string) =>
      Deno.writeFile(join(store.layout.packed, `${hash}.${name}`), noise(100, 3));
    const left = async () =>
      (await Array.fromAsync(Deno.readDir(store.layout.packed), ({ name }) => name.slice(65)))
        .sort();
    const key = "0123456789abcdef";
    const current = [`packed${PACKED_VERSION}-${key}`, "verdict-0123"];
    for (const collect of [() => evict(store.layout, 1), () => verifyStore(store.layout)]) {
      for (const name of [...current, `packed1-${key}`, `packed99-${key}`]) await put(name);
      await collect();
      const kept = await left();
      assert(!kept.some((name) => /^packed(1|99)-/.test(name)), kept.join());
      assert(kept.includes("verdict-0123"));
    }
  });
});

Deno.test("removeModel() refuses a model in use until the pin is gone", async () => {
  await withStore(async (store, dir) => {
    const { id } = await putModel(store, "a", [1, 2, 3]);
    const other = await openStore(dir);
    const pin = await other.pin(id);
    assert((await listStore(store.layout)).models[0]!.inUse);
    const error = await assertRejects(
      () => removeModel(store.layout, "a"),
      MdiError,
      "is using it",
    );
    assertEquals(error.code, "busy");
    await pin[Symbol.asyncDispose]();
    await removeModel(store.layout, "a");
  });
});

Deno.test("a pin of a process that died does not last", async () => {
  await withStore(async (store) => {
    const { id } = await putModel(store, "a", [1, 2, 3]);
    await Deno.writeTextFile(join(store.layout.pins, "left-behind"), `${id}\n`);
    await removeModel(store.layout, "a");
  });
});

Deno.test("evict() removes orphans, then the models used longest ago, never pinned blocks", async () => {
  await withStore(async (store) => {
    const a = await putModel(store, "a", [1, 2, 3]);
    const b = await putModel(store, "b", [4, 5, 6]);
    const c = await putModel(store, "c", [7, 8, 9]);
    await usedAt(store, a.id, 30);
    await usedAt(store, b.id, 20);
    await usedAt(store, c.id, 10);
    const orphan = await store.putNew([noise(500, 50)]);
    await using pin = await store.pin(a.id, ...a.manifest.blocks.map((block) => block.hash));
    const fresh = await store.putNew([noise(500, 51)], { pin });
    const { models, bytes } = await evict(store.layout, 1000);
    assertEquals(models, ["b"]);
    assert(bytes >= 3500);
    assertEquals(await store.has(orphan.hash), false);
    assert(await store.has(fresh.hash));
    assertEquals((await listStore(store.layout)).models.map(({ name }) => name).sort(), ["a", "c"]);
    assertEquals((await evict(store.layout, 1e9)).models, ["c"]);
    assertEquals(await store.missing(a.manifest.blocks), []);
  });
});

Deno.test("Store.ensureRoom() makes room under the limit and says when it cannot", async () => {
  await withStore(async (store) => {
    const a = await putModel(store, "a", [1, 2, 3]);
    await putModel(store, "b", [4, 5, 6]);
    await usedAt(store, a.id, 30);
    await store.ensureRoom(3000, "model c");
    assertEquals((await listStore(store.layout)).models.map(({ name }) => name), ["b"]);
    const error = await assertRejects(
      () => store.ensureRoom(20_000, "model d"),
      MdiError,
      "the store's limit of 8.0 kB",
    );
    assertEquals(error.code, "disk");
  }, { limitBytes: 8000 });
});

Deno.test("verifyStore() removes damaged files and names the models that need them", async () => {
  await withStore(async (store) => {
    const { id, manifest } = await putModel(store, "a", [1, 2, 3]);
    const clean = await verifyStore(store.layout);
    assertEquals([clean.files, clean.damaged], [5, []]);
    const bad = manifest.blocks[1]!;
    await Deno.writeFile(store.path(bad.hash), noise(1000, 99));
    await Deno.writeTextFile(manifestPath(store.layout, "e".repeat(64)), "{}");
    const seen: number[] = [];
    const report = await verifyStore(store.layout, {
      onProgress: ({ checkedBytes }) => seen.push(checkedBytes),
    });
    assertEquals(report.damaged.map(({ models }) => models), [[], ["a"]]);
    assertEquals(seen.at(-1), report.bytes);
    assertEquals(await store.missing(manifest.blocks), [bad]);
    assert(await store.manifest(id));
    const signal = AbortSignal.abort(new Error("enough"));
    await assertRejects(() => verifyStore(store.layout, { signal }), Error, "enough");
  });
});

Deno.test("verifyStore() hashes pulled files too", async () => {
  await withStore(async (store) => {
    const path = await pretendPulled(store, "x--y", "x/y");
    assertEquals((await verifyStore(store.layout)).damaged, []);
    await Deno.writeFile(path, noise(5000, 10));
    const [damaged, ...others] = (await verifyStore(store.layout)).damaged;
    assertEquals([damaged?.path, damaged?.models, others], [path, ["x/y"], []]);
    assertEquals((await listStore(store.layout)).pulled[0]!.complete, false);
  });
});

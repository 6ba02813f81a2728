import { assert, assertEquals, assertRejects } from "@std/assert";
import { fileURLToPath } from "node:url";
import { MdiError } from "../wasm/error.ts";
import { importInWorker } from "./import_in_worker.ts";
import { importModel } from "./model/import.ts";
import { openModel } from "./model/open.ts";
import { pinned } from "./store/pin.ts";
import { openStore, type Store } from "./store/store.ts";

const fixture = (name: string) =>
  fileURLToPath(new URL(`../tests/fixtures/${name}`, import.meta.url));
const MODEL = fixture("tiny-llama-tied/gguf/model-q8_0.gguf");

async function withStore(fn: (store: Store) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "mdi-test-" });
  try {
    await fn(await openStore(directory));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("importInWorker() makes what importModel() makes, pins it and leaves no pin of its own", () =>
  withStore(async (store) => {
    const blocks: string[] = [];
    await using pin = await store.pin();
    const onProgress = ({ block }: { block: string }) => blocks.push(block);
    const manifest = await importInWorker(MODEL, { store, pin, onProgress });
    const names = manifest.blocks.map(({ name }) => name);
    assertEquals(blocks.toSorted(), names.toSorted());
    const keys = await pinned(store.layout);
    for (const { hash } of manifest.blocks) assert(keys.has(hash) && await store.has(hash));
    assertEquals((await Array.fromAsync(Deno.readDir(store.layout.pins))).length, 1);
    await withStore(async (other) => {
      await using source = await openModel(MODEL);
      assertEquals(await importModel(source, other), manifest);
    });
    assertEquals(await importInWorker(MODEL, { store, pin }), manifest);
  }));

Deno.test("importInWorker() rejects with what is wrong with the file", () =>
  withStore(async (store) => {
    const path = fixture("broken/truncated.gguf");
    const error = await assertRejects(() => importInWorker(path, { store }), MdiError);
    const expected = await assertRejects(() => openModel(path), MdiError);
    assertEquals([error.code, error.message, error.details], [
      expected.code,
      expected.message,
      expected.details,
    ]);
  }));

Deno.test("importInWorker() ends with its signal and leaves only whole blocks", () =>
  withStore(async (store) => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const importing = importInWorker(MODEL, {
      store,
      signal: controller.signal,
      onProgress: ({ done }) => done === 2 && controller.abort(reason),
    });
    assertEquals(await assertRejects(() => importing), reason);
    assertEquals(await Array.fromAsync(Deno.readDir(store.layout.pins)), []);
    const { signal } = controller;
    assertEquals(await assertRejects(() => importInWorker(MODEL, { store, signal })), reason);
    const manifest = await importInWorker(MODEL, { store });
    for (const { hash } of manifest.blocks) assert(await store.intact(hash));
  }));

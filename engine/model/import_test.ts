import { assert, assertEquals, assertRejects } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import {
  GraphProtoSchema,
  ModelProtoSchema,
  TensorProtoSchema,
} from "../../wasm/gen/onnx/onnx_pb.ts";
import { readBlockHeader, tensorLocation } from "../../wasm/block.ts";
import { MdiError } from "../../wasm/error.ts";
import { removeModel } from "../store/collect.ts";
import { namesIn } from "../store/disk.ts";
import { noise, TINY_CONFIG, withStore } from "../store/_test_util.ts";
import { blockNames } from "./manifest.ts";
import { importModel } from "./import.ts";
import type { BlockRecipe, ModelSource, TensorData } from "./types.ts";

/** The smallest that can be used. */
const TOKENIZER = {
  version: "1.0",
  model: { type: "BPE", vocab: { a: 0 }, merges: [] },
  added_tokens: [],
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false },
  decoder: { type: "ByteLevel" },
};

/** A model of two layers, each block with one tensor; head uses embed's. Counts the bytes it is asked for. */
class TinySource implements ModelSource {
  readonly kind = "gguf";
  readonly name = "tiny";
  readonly license = "mit";
  readonly config = { ...TINY_CONFIG, layers: 2 };
  readonly text = { tokenizer: TOKENIZER, tokenizerConfig: {}, sampling: {} };
  readonly kvBytesPerTokenLayer = 32;
  readonly edges: ("f32" | "f16x2")[] = ["f32", "f32", "f32"];
  readonly files = [{ path: "/models/tiny.gguf", bytes: 5000, mtimeMs: 1 }];
  /** Names of the blocks whose weights were read. */
  read: string[] = [];
  /** Called when a block's weights are read. */
  onRead: (name: string) => void = () => {};

  async *blocks(): AsyncGenerator<BlockRecipe> {
    for (const [i, name] of blockNames(2).entries()) {
      await Promise.resolve();
      const graph = create(GraphProtoSchema, {
        name,
        initializer: [create(TensorProtoSchema, { name: "w", dims: [1000n], dataType: 2 })],
      });
      yield {
        name,
        model: create(ModelProtoSchema, { irVersion: 10n, graph }),
        data: name === "head" ? new Map() : new Map([["w", this.#weights(name, i)]]),
        elsewhere: name === "head" ? new Map([["w", ["embed", "w"] as const]]) : new Map(),
        parameters: name === "head" ? 0 : 1000,
        dtypes: name === "head" ? [] : ["U8"],
      };
    }
  }

  #weights(name: string, seed: number): TensorData {
    const { read, onRead } = this;
    return {
      bytes: 1000,
      async *chunks() {
        await Promise.resolve();
        read.push(name);
        onRead(name);
        yield noise(1000, seed);
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

Deno.test("importModel() cuts a model into blocks that refer to each other", async () => {
  await withStore(async (store) => {
    const seen: string[] = [];
    const manifest = await importModel(new TinySource(), store, {
      onProgress: ({ block, done, total }) => seen.push(`${block} ${done}/${total}`),
    });
    assertEquals(manifest.blocks.map(({ name }) => name), blockNames(2));
    assertEquals(seen, ["embed 0/4", "layer.0 1/4", "layer.1 2/4", "head 3/4"]);
    assertEquals(manifest.blocks.map(({ requires }) => requires), [[], [], [], ["embed"]]);
    assertEquals(manifest.blocks.map((each) => each.parameters), [1000, 1000, 1000, 0]);
    assertEquals((await store.text(manifest.textHash)).tokenizer, TOKENIZER);
    const head = manifest.blocks.at(-1)!;
    const embed = manifest.blocks[0]!;
    const read = (hash: string) => (at: number, length: number) => store.read(hash, at, length);
    const { model } = await readBlockHeader("head", read(head.hash));
    const place = tensorLocation(model.graph!.initializer[0]!)!;
    assertEquals(place.block, "embed");
    const { dataOffset } = await readBlockHeader("embed", read(embed.hash));
    assertEquals(
      await store.read(embed.hash, dataOffset + place.offset, place.length),
      noise(1000, 0),
    );
  });
});

Deno.test("importModel() reads no weights the second time, and only what is missing the third", async () => {
  await withStore(async (store) => {
    const first = await importModel(new TinySource(), store);
    const again = new TinySource();
    assertEquals(await importModel(again, store), first);
    assertEquals(again.read, []);
    await Deno.remove(store.path(first.blocks[1]!.hash));
    const third = new TinySource();
    assertEquals(await importModel(third, store), first);
    assertEquals(third.read, ["layer.0"]);
    assertEquals(await store.missing(first.blocks), []);
    await removeModel(store.layout, "tiny");
    const fourth = new TinySource();
    assertEquals(await importModel(fourth, store), first);
    assertEquals(fourth.read.length, 3);
  });
});

Deno.test("importModel() cuts again where the file has changed", async () => {
  await withStore(async (store) => {
    await importModel(new TinySource(), store);
    const changed = new TinySource();
    changed.files[0]!.mtimeMs = 2;
    await importModel(changed, store);
    assertEquals(changed.read.length, 3);
  });
});

Deno.test("importModel() that breaks off leaves no half block and works the next time", async () => {
  await withStore(async (store) => {
    const abort = new AbortController();
    const source = new TinySource();
    source.onRead = (name) => name === "layer.1" && abort.abort(new Error("enough"));
    await assertRejects(
      () => importModel(source, store, { signal: abort.signal }),
      Error,
      "enough",
    );
    assertEquals(await namesIn(store.layout.tmp), []);
    assertEquals(await namesIn(store.layout.manifests), []);
    const next = new TinySource();
    const manifest = await importModel(next, store);
    assertEquals(await store.missing(manifest.blocks), []);
  });
});

Deno.test("importModel() by two at the same time cuts once", async () => {
  await withStore(async (store) => {
    const sources = [new TinySource(), new TinySource()];
    const [a, b] = await Promise.all(sources.map((source) => importModel(source, store)));
    assertEquals(a, b);
    assertEquals(sources.flatMap(({ read }) => read).length, 3);
  });
});

Deno.test("importModel() pins what it makes", async () => {
  await withStore(async (store) => {
    await using pin = await store.pin();
    await importModel(new TinySource(), store, { pin, name: "my model" });
    await assertRejects(() => removeModel(store.layout, "my model"), MdiError, "is using it");
  });
});

Deno.test("importModel() says how much a full store lacks before it reads", async () => {
  await withStore(async (store) => {
    const source = new TinySource();
    const error = await assertRejects(
      () => importModel(source, store),
      MdiError,
      "limit of 4.0 kB",
    );
    assertEquals(error.code, "disk");
    assert(source.read.length === 0);
  }, { limitBytes: 4000 });
});

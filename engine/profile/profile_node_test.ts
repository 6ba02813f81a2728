import { assert, assertEquals, assertRejects } from "@std/assert";
import { MdiError } from "../../wasm/error.ts";
import { TinyGguf } from "../model/gguf/_tiny_gguf.ts";
import { importModel } from "../model/import.ts";
import { openModel } from "../model/open.ts";
import { openStore } from "../store/store.ts";
import { blocksOfProfile, blocksToProfile } from "./profile_blocks.ts";
import { profileNode, type ProfileOptions } from "./profile_node.ts";

/** A tiny model in a store of its own. */
class Tiny implements AsyncDisposable {
  private constructor(readonly home: string, readonly options: ProfileOptions) {}

  static async make(): Promise<Tiny> {
    await using model = await TinyGguf.write(() => "Q8_0");
    const home = await Deno.makeTempDir({ prefix: "mdi-test-" });
    const store = await openStore(home);
    await using source = await openModel(model.path);
    const manifest = await importModel(source, store);
    return new Tiny(home, {
      ...{ manifest, store, model: "tiny", version: "0", backend: "auto", threads: 1, kv: "f32" },
      ...{ memoryBytes: null, starter: true, budgetMs: 200 },
    });
  }

  async files(): Promise<string[]> {
    return (await Array.fromAsync(Deno.readDir(`${this.home}/profiles`))).map(({ name }) => name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.home, { recursive: true });
  }
}

Deno.test("profileNode() measures once, keeps it, and measures again when told, or when it is damaged; it ends with its signal", async () => {
  await using tiny = await Tiny.make();
  const { options } = tiny;
  let fetched = 0;
  const seen = new Set<string>();
  const profile = (change: Partial<ProfileOptions> = {}) =>
    profileNode({
      ...options,
      fetch: () => Promise.resolve(void fetched++),
      onProgress: (what) => seen.add(what),
      ...change,
    });
  const first = await profile();
  assertEquals([first.kept, first.profile.backend, fetched], [false, "simd", 1]);
  assert(seen.has("measure"));
  const { layer, head, embed, prefillLayer, layerWeightBytes } = first.profile;
  assertEquals(layer.rows[0], 1);
  assertEquals(prefillLayer.rows.slice(0, 2), [1, 32]);
  assert(layer.ms.every((ms) => ms > 0) && head!.ms.every((ms) => ms > 0));
  assertEquals(embed!.rows, layer.rows);
  assert(layerWeightBytes > 1e5);
  assertEquals(await profile(), { ...first, kept: true });
  assertEquals(fetched, 1);
  assertEquals((await profile({ again: true })).kept, false);
  const [name] = await tiny.files();
  await Deno.writeTextFile(`${tiny.home}/profiles/${name}`, '{"version":1,"key":');
  assertEquals((await profile()).kept, false);
  assertEquals((await profile()).kept, true);
  const reason = new Error("enough");
  const controller = new AbortController();
  const onProgress = (what: string) => what === "measure" && controller.abort(reason);
  const { signal } = controller;
  const ended = await assertRejects(() => profile({ again: true, signal, onProgress }));
  assertEquals(ended, reason);
  const memory = await assertRejects(() => profile({ again: true, memoryBytes: 1 }), MdiError);
  assertEquals(memory.code, "memory");
  // Another setting is another profile; a secondary needs neither embed nor head.
  const secondary = await profile({ starter: false, kv: "f16" });
  assertEquals([secondary.kept, secondary.profile.head], [false, null]);
  assertEquals((await tiny.files()).length, 2);
});

Deno.test("profileNode() measures ONNX Runtime too", async () => {
  await using tiny = await Tiny.make();
  const { profile } = await profileNode({ ...tiny.options, backend: "ort", threads: 2 });
  assertEquals([profile.backend, profile.threads], ["ort", 1]);
  assert(profile.layer.ms[0]! > 0 && profile.head!.ms[0]! > 0);
});

Deno.test("profileNode() gives a paced device's own times", async () => {
  await using tiny = await Tiny.make();
  const layer = { rows: [1, 8], ms: [20, 60] };
  const { profile } = await profileNode({ ...tiny.options, pace: { layer } });
  assertEquals([profile.layer, profile.head], [layer, { rows: [1], ms: [0] }]);
  await assertRejects(() => Deno.stat(`${tiny.home}/profiles`), Deno.errors.NotFound);
});

Deno.test("blocksToProfile() takes the layer that is nearest to the mean", async () => {
  await using tiny = await Tiny.make();
  const { manifest } = tiny.options;
  const [layer] = manifest.blocks.filter(({ name }) => name.startsWith("layer."));
  const others = [3, 2, 9].map((share, i) => ({
    ...layer!,
    name: `layer.${i}`,
    bytes: share * 1000,
  }));
  const ends = manifest.blocks.filter(({ name }) => !name.startsWith("layer."));
  const blocks = [...ends.slice(0, -1), ...others, ends.at(-1)!];
  const mixed = { ...manifest, blocks };
  assertEquals(blocksToProfile(mixed, false).layer.name, "layer.0");
  assert(blocksOfProfile(mixed, true).some(({ name }) => name === "head"));
  assert(!blocksOfProfile(mixed, false).some(({ name }) => name === "head"));
});

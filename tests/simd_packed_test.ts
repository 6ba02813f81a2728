/** The packed weights that `simd` stages leave in a store. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { basename, join } from "node:path";
import { openStore } from "../engine/store/store.ts";
import { storedBytes } from "../engine/store/usage.ts";
import { verifyStore } from "../engine/store/verify.ts";
import { MdiError } from "../wasm/error.ts";
import { loadSimdStage, type SimdOptions } from "../wasm/simd/stage.ts";
import type { Stage, StageRange, StageSpec } from "../wasm/stage.ts";
import { loadWorkerStage } from "../wasm/worker_stage.ts";
import { equalBits } from "./support/numbers.ts";
import { filesIn, type PackedSpec, refusal, withFixture } from "./support/packed_fixture.ts";

const unjudged = { unjudged: true };

Deno.test("blocks are packed once, whatever range they are loaded in", () =>
  withFixture("tiny-llama-tied/gguf/model-q4_0.gguf", async (spec, model) => {
    assertEquals(await refusal(spec, unjudged), null);
    const files = await filesIn(spec.packed, /./);
    assertEquals(files.length, model.manifest.config.layers + 2);
    const inodes = async () =>
      await Promise.all(files.map(async (name) => (await Deno.stat(join(spec.packed, name))).ino));
    const before = await inodes();
    const ranges: StageRange[] = [
      { embed: false, layers: [1, 2], head: false },
      { embed: true, layers: null, head: false },
      { embed: false, layers: null, head: true },
    ];
    for (const range of ranges) {
      const part = { ...model.spec(range), packed: spec.packed };
      assertEquals(await refusal(part, unjudged), null);
      assertEquals(await filesIn(spec.packed, /./), files);
      assertEquals(await inodes(), before);
    }
  }));

Deno.test("a packed file that is damaged or has another index is packed again", () =>
  withFixture("tiny-llama-tied/gguf/model-q4_0.gguf", async (spec) => {
    assertEquals(await refusal(spec, unjudged), null);
    const { hash } = spec.blocks.find(({ name }) => name === "layer.0")!;
    const [name] = await filesIn(spec.packed, new RegExp(`^${hash}`));
    const path = join(spec.packed, name!);
    const good = await Deno.readFile(path);
    const changes = [
      ["MDIPACKD", "MDIBLOCK"],
      ['"heads":4', '"heads":2'],
      ['"epsilon":0.000009', '"epsilon":0.000008'],
    ] as const;
    for (const [from, to] of changes) {
      const at = new TextDecoder("latin1").decode(good).indexOf(from);
      assert(at >= 0, from);
      const changed = good.slice();
      changed.set(new TextEncoder().encode(to), at);
      await Deno.writeFile(path, changed);
      assertEquals(await refusal(spec, unjudged), null);
      assertEquals(await Deno.readFile(path), good);
    }
  }));

/** Hidden rows that a stage gives for eight ids. */
async function hiddenOf(spec: StageSpec): Promise<Float32Array> {
  const loaded = await loadSimdStage(spec, unjudged);
  if ("unusable" in loaded) throw new Error(loaded.unusable);
  await using stage = loaded;
  return await rowsOf(stage);
}

async function rowsOf(stage: Stage): Promise<Float32Array> {
  const ids = Int32Array.from({ length: 8 }, (_, i) => 7 * i + 1);
  stage.open(0, ids.length);
  return (await stage.forward({ segments: [{ sample: 0, position: 0, rows: 8 }], ids })).slice();
}

/** A block's packed file with one bit of its data flipped, as if a program or the disk had done that. */
async function damage(
  spec: PackedSpec,
  name: string,
  options: { keepMark: boolean },
): Promise<{ path: string; good: Uint8Array }> {
  const { hash } = spec.blocks.find((block) => block.name === name)!;
  const [file] = await filesIn(spec.packed, new RegExp(`^${hash}\\.packed`));
  const path = join(spec.packed, file!);
  const good = await Deno.readFile(path);
  const { mtime } = await Deno.stat(path);
  const changed = good.slice();
  changed[good.length - 5000]! ^= 0x40;
  await Deno.writeFile(path, changed);
  if (options.keepMark) await Deno.utime(path, mtime!, mtime!);
  return { path, good };
}

Deno.test("a packed file with a flipped bit and no mark is packed again; a marked one is not hashed", () =>
  withFixture("tiny-llama-tied/gguf/model-q4_0.gguf", async (spec) => {
    const expected = await hiddenOf(spec);
    const { path, good } = await damage(spec, "layer.0", { keepMark: true });
    assert(!equalBits(await hiddenOf(spec), expected), "the mark was believed");
    await Deno.utime(path, new Date(), new Date());
    assert(equalBits(await hiddenOf(spec), expected));
    assertEquals(await Deno.readFile(path), good);
    const { ino, mtime } = await Deno.stat(path);
    assert(mtime!.getUTCFullYear() < 2002, "it is marked when it is written");
    // The same bytes under another time are hashed, kept, and marked again.
    await Deno.utime(path, new Date(), new Date());
    assert(equalBits(await hiddenOf(spec), expected));
    const after = await Deno.stat(path);
    assertEquals([after.ino, after.mtime], [ino, mtime]);
  }));

Deno.test("verifyStore() removes damaged packed files, marked or not, and what interrupted packing left", () =>
  withFixture("tiny-llama-tied/gguf/model-q4_0.gguf", async (spec, model) => {
    const expected = await hiddenOf(spec);
    const { layout } = model.store;
    const names = await filesIn(spec.packed, /./);
    const clean = await verifyStore(layout);
    assertEquals(clean.damaged, []);
    const marked = await damage(spec, "layer.0", { keepMark: true });
    const cut = join(spec.packed, names.find((name) => !marked.path.endsWith(name))!);
    await Deno.truncate(cut, 10);
    const left = [7200, 60].map((seconds) => {
      const path = `${marked.path}.${crypto.randomUUID()}`;
      const time = new Date(Date.now() - 1000 * seconds);
      Deno.writeFileSync(path, marked.good);
      Deno.utimeSync(path, time, time);
      return path;
    });
    let checked = 0;
    const report = await verifyStore(layout, {
      onProgress: ({ checkedBytes }) => checked = checkedBytes,
    });
    assertEquals([report.files, report.bytes], [clean.files, checked]);
    assertEquals(report.damaged.map(({ path }) => path), [cut, marked.path].sort());
    for (const { models, reason } of report.damaged) {
      assertEquals(models, [model.manifest.name]);
      assertMatch(reason, /^its sha256 is [0-9a-f]{64}$/);
    }
    const kept = names.filter((name) => ![cut, marked.path].includes(join(spec.packed, name)));
    assertEquals(await filesIn(spec.packed, /./), [...kept, basename(left[1]!)].sort());
    assert(equalBits(await hiddenOf(spec), expected));
    assertEquals(await Deno.readFile(marked.path), marked.good);
    assertEquals((await verifyStore(layout)).damaged, []);
  }));

Deno.test("room is asked for once, for all that is to be written, and progress tells of all of it", () =>
  withFixture("tiny-llama-tied/gguf/model-q4_0.gguf", async (spec, model) => {
    const asked: number[] = [];
    const told: [number, number][] = [];
    const load = async (part: StageSpec) => {
      await using stage = await loadWorkerStage("simd", part, {
        onPack: (done, total) => told.push([done, total]),
        askRoom: (bytes) => {
          asked.push(bytes);
          return Promise.resolve(null);
        },
      });
      assertEquals(stage.info.notes, []);
    };
    await load({
      ...model.spec({ embed: false, layers: [1, 2], head: false }),
      packed: spec.packed,
    });
    const [layers] = asked;
    await load(spec);
    await load(spec);
    const sizes = (await filesIn(spec.packed, /\.packed/)).map((name) =>
      Deno.statSync(join(spec.packed, name)).size
    );
    assertEquals(asked.length, 2, "a third start finds everything");
    assertEquals(asked[0]! + asked[1]!, sizes.reduce((a, b) => a + b));
    assertEquals(told.filter(([done, total]) => done === total).map(([done]) => done), asked);
    assert(told.length > 10 && told[0]![0] < layers!);
  }));

Deno.test("without room nothing is written, the bits are the same, and one note says why", () =>
  withFixture("tiny-llama-tied/gguf/model-q4_0.gguf", async (spec) => {
    const told: [number, number][] = [];
    const hooks: SimdOptions = {
      ...unjudged,
      askRoom: () => Promise.resolve("Cannot store it: the disk is full; make room"),
      onPack: (done, total) => told.push([done, total]),
    };
    const loaded = await loadSimdStage(spec, hooks);
    if ("unusable" in loaded) throw new Error(loaded.unusable);
    await using stage = loaded;
    assertEquals(stage.info.notes, [
      "Cannot store it: the disk is full; make room; until then its weights are packed at every start",
    ]);
    assertEquals(await filesIn(spec.packed, /./), []);
    assertEquals(told.at(-1)![0], told.at(-1)![1]);
    const unkept = await hiddenOf({ ...spec, packed: null });
    assertEquals(await filesIn(spec.packed, /./), []);
    assert(equalBits(unkept, await rowsOf(stage)));
    assert(equalBits(unkept, await hiddenOf(spec)));
    assert((await filesIn(spec.packed, /./)).length > 0);
  }));

Deno.test("the packed weights of a model count before they are written, and those of other versions go", () =>
  withFixture("tiny-llama-tied/gguf/model-q4_0.gguf", async (spec, model) => {
    const { layout } = model.store;
    const other = join(spec.packed, `${spec.blocks[0]!.hash}.packed1-${"0".repeat(16)}`);
    await Deno.writeFile(other, new Uint8Array(5000));
    const used = await storedBytes(layout);
    const load = async (limitBytes: number) => {
      const store = await openStore(layout.root, { limitBytes });
      await using _pin = await store.pin(await store.putManifest(model.manifest));
      await using stage = await loadWorkerStage("simd", spec, {
        askRoom: (bytes) => store.packedRoom(bytes, "tiny"),
      });
      return stage.info.notes;
    };
    const [note, ...more] = await load(used + 1000);
    assertMatch(
      note!,
      /^Cannot store the packed form of tiny: .* of the store's limit .* at every start$/,
    );
    assertEquals(more, []);
    assertEquals(await filesIn(spec.packed, /\.packed/), []);
    assertEquals(await load(1e9), []);
    assert((await filesIn(spec.packed, /\.packed2-/)).length > 2);
    const stored = await storedBytes(layout);
    assertEquals(await load(stored), [], "what is packed already needs no room");
  }));

Deno.test("packed weights that cannot be written are an error of the disk", () =>
  withFixture("tiny-llama-tied/gguf/model-q4_0.gguf", async (spec) => {
    const file = join(spec.packed, "file");
    await Deno.writeFile(file, new Uint8Array());
    for (const packed of [join(spec.packed, "missing"), file]) {
      const loading = () => refusal({ ...spec, packed }, unjudged);
      const error = await assertRejects(loading, MdiError, "Cannot write packed weights to ");
      assertEquals(error.code, "disk");
      assert(error.message.includes(packed), error.message);
      assert(error.message.endsWith("; make room, or use --backend ort"), error.message);
    }
  }));

Deno.test("weights that do not fit this node's memory are not loaded", () =>
  withFixture("tiny-llama-tied/gguf/model-q4_0.gguf", async (spec) => {
    const loading = () => refusal({ ...spec, memoryBytes: 50_000 }, unjudged);
    const error = await assertRejects(loading, MdiError, "and this node has 0 MB for them");
    const limited = () => refusal({ ...spec, memoryBytes: 0, memoryLimitBytes: 1e8 }, unjudged);
    await assertRejects(limited, MdiError, "the limit of --memory, 100 MB, leaves 0 MB for them");
    const { requiredBytes, availableBytes } = error.details;
    assertEquals([error.code, availableBytes], ["memory", 50_000]);
    assertEquals(await filesIn(spec.packed, /./), []);
    assertEquals(await refusal({ ...spec, memoryBytes: Number(requiredBytes) }, unjudged), null);
  }));

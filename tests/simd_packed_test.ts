/** The packed weights that `simd` stages leave in a store. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { MdiError } from "../wasm/error.ts";
import type { StageRange } from "../wasm/stage.ts";
import { filesIn, refusal, withFixture } from "./support/packed_fixture.ts";

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
    const error = await assertRejects(loading, MdiError, "and this node has 50000 for them");
    const { requiredBytes, availableBytes } = error.details;
    assertEquals([error.code, availableBytes], ["memory", 50_000]);
    assertEquals(await filesIn(spec.packed, /./), []);
    assertEquals(await refusal({ ...spec, memoryBytes: Number(requiredBytes) }, unjudged), null);
  }));

/** The comparison of the kernels with ONNX Runtime that decides whether they may run a model's blocks. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { OpenBlocks } from "../wasm/block_file.ts";
import { MdiError } from "../wasm/error.ts";
import type { DecoderLayer } from "../wasm/simd/decoder.ts";
import type { PackedBlock, PackedLayer, PackedMatrix } from "../wasm/simd/packed_block.ts";
import { DIGEST_BYTES } from "../wasm/simd/packed_digest.ts";
import { PackedFile } from "../wasm/simd/packed_file.ts";
import { recogniseBlock } from "../wasm/simd/recognise.ts";
import { loadSimdStage } from "../wasm/simd/stage.ts";
import { judge } from "../wasm/simd/verdict.ts";
import type { Stage, StageSpec } from "../wasm/stage.ts";
import { loadWorkerStage } from "../wasm/worker_stage.ts";
import { filesIn, type PackedSpec, refusal, withFixture } from "./support/packed_fixture.ts";

function hashOf({ blocks }: StageSpec, block: string): string {
  return blocks.find(({ name }) => name === block)!.hash!;
}

/** Path of the only file in the store that goes with a block. */
async function pathOf(spec: PackedSpec, block: string, kind: "packed" | "verdict") {
  const names = await filesIn(spec.packed, new RegExp(`^${hashOf(spec, block)}\\.${kind}`));
  assertEquals(names.length, 1);
  return join(spec.packed, names[0]!);
}

const AGREE = [
  "tiny-llama-untied/genai-int4",
  "tiny-llama-256/gguf/model-q4_k_m.gguf",
  "tiny-mistral/onnx/model_fp16.onnx",
  "tiny-mistral/onnx/model_quantized.onnx",
];

Deno.test("blocks that agree with ONNX Runtime run on simd, and the verdicts are kept", async (t) => {
  for (const file of AGREE) {
    await t.step(file, () =>
      withFixture(file, async (spec) => {
        assertEquals(await refusal(spec), null);
        const verdicts = await filesIn(spec.packed, /\.verdict-[0-9a-f]{32}$/);
        // Layers are of few kinds: the first one, those between, the last one.
        assert(verdicts.length >= 3 && verdicts.length <= 5, verdicts.join());
        for (const name of verdicts) {
          assert(spec.blocks.some(({ hash }) => name.startsWith(`${hash}.`)));
          const { error, agrees } = JSON.parse(await Deno.readTextFile(join(spec.packed, name)));
          assert(agrees && error < 5e-2, `${name}: ${error}`);
        }
      }));
  }
});

Deno.test("a kept verdict is believed without ONNX Runtime, a damaged one is made again", () =>
  withFixture("tiny-llama-tied/gguf/model-q4_0.gguf", async (spec) => {
    assertEquals(await refusal(spec), null);
    const path = await pathOf(spec, "layer.0", "verdict");
    const verdict = await Deno.readTextFile(path);
    // Nobody who compares could come to this.
    await Deno.writeTextFile(path, JSON.stringify({ error: 123, agrees: false }));
    assertEquals(await refusal(spec), "its layer.0 differs from ONNX Runtime's by 1.2e+2");
    for (const damaged of [verdict.slice(0, -1), '{"error":"0","agrees":true}']) {
      await Deno.writeTextFile(path, damaged);
      assertEquals(await refusal(spec), null);
      assertEquals(await Deno.readTextFile(path), verdict);
    }
  }));

/** Changes a block's packed file behind its index, and gives it the digest of what it is then. */
async function spoil(
  spec: PackedSpec,
  name: string,
  change: (data: Uint8Array, block: PackedBlock) => void,
): Promise<void> {
  const path = await pathOf(spec, name, "packed");
  using file = await PackedFile.open(path);
  const bytes = await Deno.readFile(path);
  const all = bytes.subarray(0, bytes.length - DIGEST_BYTES);
  change(all.subarray(all.length - file.dataBytes), file.block);
  bytes.set(createHash("sha256").update(all).digest(), all.length);
  await Deno.writeFile(path, bytes);
}

function bytesOf(data: Uint8Array, { offset, bytes }: PackedMatrix): Uint8Array {
  return data.subarray(offset, offset + bytes);
}

/** Each of a Q4_0 matrix's f16 scales, in streams of 256 bytes of codes and 16 scales. */
function mapScales(data: Uint8Array, matrix: PackedMatrix, map: (bits: number) => number): void {
  const bytes = bytesOf(data, matrix);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let stream = 256; stream < bytes.length; stream += 288) {
    for (let at = stream; at < stream + 32; at += 2) {
      view.setUint16(at, map(view.getUint16(at, true)), true);
    }
  }
}

/** What goes wrong in a layer of Q4_0, and how the refusal ends. */
const BROKEN: [string, RegExp, (data: Uint8Array, layer: PackedLayer) => void][] = [
  [
    "scales that are twice as large",
    /by 0\.\d+$/,
    (data, { gate }) => mapScales(data, gate.weight, (bits) => bits + 0x400),
  ],
  [
    "a norm that is no number",
    /where that is finite$/,
    (data, { postNorm }) => data.fill(0xff, postNorm.weight.offset, postNorm.weight.offset + 4),
  ],
  ["gate and up exchanged", /by (0\.[1-9]|1\.)\d*$/, (data, { gate, up }) => {
    const [one, other] = [bytesOf(data, gate.weight), bytesOf(data, up.weight)];
    const copy = one.slice();
    one.set(other);
    other.set(copy);
  }],
];

Deno.test("a block that differs is refused", async (t) => {
  for (const [what, ending, change] of BROKEN) {
    await t.step(what, () =>
      withFixture("tiny-llama-tied/gguf/model-q4_0.gguf", async (spec) => {
        assertEquals(await refusal(spec, { unjudged: true }), null);
        await spoil(spec, "layer.0", (data, block) => change(data, block as PackedLayer));
        const reason = await refusal(spec);
        assertMatch(reason ?? "", /^its layer\.0 differs from ONNX Runtime's /);
        assertMatch(reason ?? "", ending);
      }));
  }
});

Deno.test("nothing is packed into the store before all kinds of blocks agree", () =>
  withFixture("tiny-llama-tied/gguf/model-q4_0.gguf", async (spec) => {
    assertEquals(await refusal(spec, { unjudged: true }), null);
    await spoil(spec, "layer.0", (data, block) => BROKEN[0]![2](data, block as PackedLayer));
    const spoiled = await pathOf(spec, "layer.0", "packed");
    for (const name of await filesIn(spec.packed, /\.packed/)) {
      const path = join(spec.packed, name);
      if (path !== spoiled) await Deno.remove(path);
    }
    const asked: number[] = [];
    const askRoom = (bytes: number) => {
      asked.push(bytes);
      return Promise.resolve(null);
    };
    assertMatch(await refusal(spec, { askRoom }) ?? "", /^its layer\.0 differs/);
    assertEquals(asked, []);
    assertEquals(await filesIn(spec.packed, /\.packed/), [basename(spoiled)]);
  }));

Deno.test("ONNX Runtime takes the place of kernels that differ, and says why", () =>
  withFixture("tiny-llama-tied/gguf/model-q4_0.gguf", async (spec) => {
    assertEquals(await refusal(spec, { unjudged: true }), null);
    await spoil(spec, "head", (data) => data.fill(0, 0, 16));
    await using stage = await loadWorkerStage("auto", spec);
    const { backend, backendReason } = stage.info;
    assertEquals(backend, "ort");
    assertEquals(backendReason, await refusal(spec));
    assertMatch(backendReason ?? "", /^its head differs from ONNX Runtime's by 0\.\d+$/);
  }));

function firstLayer(blocks: OpenBlocks): DecoderLayer {
  const block = recogniseBlock("layer.0", blocks.header("layer.0").model);
  if (block.kind !== "layer") throw new Error(`It is a ${block.kind}`);
  return block;
}

/** The same blocks, but that rotations are those of twice the position. */
async function rotatedTwice(spec: PackedSpec, directory: string): Promise<StageSpec> {
  using blocks = await OpenBlocks.open(spec.blocks);
  const { rope } = firstLayer(blocks);
  if (rope.type !== "table") throw new Error(`The rotation is made of ${rope.type}`);
  const shared = spec.blocks.find(({ name }) => name === "shared")!;
  const bytes = await Deno.readFile(shared.path);
  const { dataOffset } = blocks.header("shared");
  for (const { source } of [rope.cos, rope.sin]) {
    if (source instanceof Uint8Array) throw new Error("The table is in the graph");
    assertEquals(source.block, "shared");
    const table = bytes.subarray(dataOffset + source.offset).subarray(0, source.length);
    const row = source.length / rope.positions;
    for (let p = 1; 2 * p < rope.positions; p++) {
      table.copyWithin(p * row, 2 * p * row, (2 * p + 1) * row);
    }
  }
  const path = join(directory, "shared");
  await Deno.writeFile(path, bytes);
  return {
    ...spec,
    blocks: spec.blocks.map((each) => each === shared ? { ...each, path, hash: null } : each),
  };
}

Deno.test("a rotation by other angles is seen", () =>
  withFixture("tiny-llama-tied/gguf/model-f32.gguf", async (spec, model) => {
    const other = await rotatedTwice(spec, model.store.layout.root);
    using blocks = await OpenBlocks.open(spec.blocks);
    const layer = {
      name: "layer.0",
      block: firstLayer(blocks),
      model: blocks.header("layer.0").model,
    };
    const load = async (single: StageSpec): Promise<Stage> => {
      const paths = new Map(other.blocks.map((each) => [each.name, each]));
      const its = single.blocks.map(({ name }) => paths.get(name)!);
      const loaded = await loadSimdStage({ ...single, blocks: its }, { unjudged: true });
      if ("unusable" in loaded) throw new MdiError("internal", loaded.unusable);
      return loaded;
    };
    const { refusal } = await judge(spec, [layer], { version: "test", load });
    assertMatch(refusal ?? "", /^its layer\.0 differs from ONNX Runtime's by 0\.\d+$/);
  }));

/** Every model file of the fixtures, cut into blocks, against what its config.json says of the decoder. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type {
  DecoderBlock,
  DecoderLayer,
  Linear,
  Matrix,
  Norm,
  Rope,
} from "../wasm/simd/decoder.ts";
import { recogniseBlock, recogniseStage } from "../wasm/simd/recognise.ts";
import { type BlockGraphs, blockGraphs } from "./support/block_graphs.ts";
import { modelNote, SMOLLM2_GGUF, SMOLLM2_ONNX } from "./support/real_models.ts";

const FIXTURES = fileURLToPath(new URL("./fixtures", import.meta.url));

/** All model files, by the directory of their config.json; ONNX by file, so that every dtype is there. */
const MODELS: Record<string, string[]> = {
  "tiny-llama-256": ["bf16", "q4_k", "q4_k_m", "q5_0", "q5_1", "q5_k", "q6_k"].map(gguf),
  "tiny-llama-tied": [
    ...["f16", "f32", "q4_0", "q4_1", "q8_0"].map(gguf),
    "genai-fp32",
    "genai-int4",
    "genai-int4-shared",
    "genai-webgpu-fp16",
    "genai-webgpu-int4",
    "onnx_raw/model.onnx",
    ...onnx(),
  ],
  "tiny-llama-untied": [
    ...["f16", "f32", "q4_0", "q4_1", "q8_0"].map(gguf),
    "genai-fp32",
    "genai-int4",
    "onnx_raw/model.onnx",
    ...onnx(),
  ],
  "tiny-llama-untied-external": ["onnx/model.onnx"],
  "tiny-llama3-rope-tied": [
    ...["f16", "f32", "q4_0", "q4_1", "q8_0"].map(gguf),
    "genai-fp32",
    "genai-int4",
    "onnx_raw/model.onnx",
    ...onnx(),
  ],
  "tiny-mistral": [...["f32", "q8_0"].map(gguf), "genai-fp32", "genai-int4", ...onnx()],
  "tiny-mistral-window": ["genai-fp32", "onnx/model.onnx"],
  "tiny-qwen2": [...["f32", "q8_0"].map(gguf), "genai-fp32", "genai-int4", ...onnx()],
  "tiny-qwen3": [
    ...["f32", "q8_0"].map(gguf),
    "genai-fp32",
    "genai-int4",
    "onnx_raw/model.onnx",
    ...onnx(),
  ],
};

/** Why files of genai's f16 are refused. */
const REFUSED = "layer.0 passes its hidden rows on as two f16 tensors";

function gguf(type: string): string {
  return `gguf/model-${type}.gguf`;
}

function onnx(): string[] {
  return ["", "_fp16", "_q4", "_q4f16", "_quantized"].map((type) => `onnx/model${type}.onnx`);
}

function recognised({ models, layers }: BlockGraphs) {
  return recogniseStage(
    { embed: true, layers: [0, layers - 1], head: true },
    (name) => models.get(name)!,
  );
}

function ofKind<K extends DecoderBlock["kind"]>(
  kind: K,
  block: DecoderBlock | undefined,
): Extract<DecoderBlock, { kind: K }> {
  assertEquals(block?.kind, kind);
  return block as Extract<DecoderBlock, { kind: K }>;
}

/** What config.json says. */
interface Config {
  hidden_size: number;
  intermediate_size: number;
  vocab_size: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  num_hidden_layers: number;
  head_dim?: number | null;
  rms_norm_eps: number;
  rope_theta: number;
  rope_scaling?: unknown;
  max_position_embeddings: number;
  sliding_window?: number | null;
  model_type: string;
}

async function configOf(directory: string): Promise<Config> {
  return JSON.parse(await Deno.readTextFile(join(FIXTURES, directory, "config.json")));
}

function width(linears: readonly Linear[]): number {
  return linears.reduce((all, { weight }) => all + weight.n, 0);
}

/** The form that a file's weights must have. */
function formOf(file: string): string {
  const gguf = /model-(.*)\.gguf$/.exec(file)?.[1]?.toUpperCase();
  if (gguf) return gguf === "Q4_K_M" ? "Q4_K" : gguf;
  if (/int4-shared/.test(file)) return "nbits 4/32 f32 zero points u8";
  if (/q4f16/.test(file)) return "nbits 4/32 f16";
  if (/int4|q4\.onnx/.test(file)) return "nbits 4/32 f32";
  if (/quantized/.test(file)) return "int8 signed transposed";
  if (file === "safetensors") return "F32";
  return `float ${/fp16/.test(file) ? "f16" : "f32"} transposed`;
}

function describe({ form }: Matrix): string {
  switch (form.type) {
    case "gguf":
      return form.gguf;
    case "nbits":
      return `nbits ${form.bits}/${form.block} ${form.scales}${
        form.zeroPoints ? ` zero points ${form.zeroPoints}` : ""
      }`;
    case "int8":
      return `int8 ${form.signed ? "signed" : "unsigned"}${form.transposed ? " transposed" : ""}`;
    case "float":
      return `float ${form.dtype}${form.transposed ? " transposed" : ""}`;
  }
}

function assertLayer(layer: DecoderLayer, config: Config, file: string): void {
  const headDim = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  const heads = config.num_attention_heads;
  const kvHeads = config.num_key_value_heads;
  assertEquals(
    [layer.dModel, layer.heads, layer.kvHeads, layer.headDim],
    [config.hidden_size, heads, kvHeads, headDim],
  );
  assertAlmostEquals(layer.scale, 1 / Math.sqrt(headDim), isHalf(file) ? 2 ** -11 : 1e-7);
  assertEquals(width(layer.qkv), (heads + 2 * kvHeads) * headDim);
  assertEquals(layer.gate.weight.n, config.intermediate_size);
  assertEquals([layer.down.weight.n, layer.down.weight.k], [
    config.hidden_size,
    config.intermediate_size,
  ]);
  for (const norm of [layer.inputNorm, layer.postNorm]) {
    assertEpsilon(norm, config, file);
    assertEquals(norm.weight.length, config.hidden_size);
  }
  const qwen3 = config.model_type === "qwen3";
  assertEquals(layer.queryNorm?.weight.length, qwen3 ? headDim : undefined);
  assertEquals(layer.keyNorm?.weight.length, qwen3 ? headDim : undefined);
  const biased = config.model_type === "qwen2";
  assert(layer.qkv.every(({ bias }) => (bias !== null) === biased));
  assert([layer.output, layer.gate, layer.up, layer.down].every(({ bias }) => bias === null));
  assertEquals(describe(layer.gate.weight), formOf(file));
  // What mdi emits has no window.
  assertEquals(layer.window, file === "safetensors" ? null : config.sliding_window ?? null);
  assertRope(layer.rope, config, headDim, file);
}

/** Whether transformers.js's f16 or q4f16: what crosses between blocks is f16. */
function isHalf(file: string): boolean {
  return /f(p)?16\.onnx$/.test(file);
}

/** Half of the distance of f16's subnormal values, which epsilons and low frequencies are. */
const HALF_STEP = 3e-8;

function assertEpsilon({ epsilon }: Norm, config: Config, file: string): void {
  assertAlmostEquals(epsilon, config.rms_norm_eps, isHalf(file) ? HALF_STEP : 1e-12);
}

function assertRope(rope: Rope, config: Config, headDim: number, file: string): void {
  assertEquals(rope.half, headDim / 2);
  if (rope.type === "table") {
    assertEquals(rope.cos.length, rope.positions * rope.half);
    return;
  }
  const bytes = rope.frequencies.source as Uint8Array;
  const frequencies = new Float32Array(bytes.slice().buffer);
  assertEquals(rope.scale, 1);
  assertEquals(frequencies[0], 1);
  if (config.rope_scaling) return;
  for (const [i, frequency] of frequencies.entries()) {
    const expected = config.rope_theta ** (-i / rope.half);
    const error = isHalf(file) ? Math.max(2 ** -11 * expected, HALF_STEP) : 1e-6 * expected;
    assertAlmostEquals(frequency, expected, error);
  }
}

for (const [directory, files] of Object.entries(MODELS)) {
  Deno.test(`recogniseStage() knows the decoders of ${directory}`, async (t) => {
    const config = await configOf(directory);
    const tied = /tied$/.test(directory) && !/untied/.test(directory);
    const safetensors = await exists(join(FIXTURES, directory, "model.safetensors"));
    for (const file of safetensors ? [...files, "safetensors"] : files) {
      await t.step(file, async () => {
        const path = join(FIXTURES, directory, file === "safetensors" ? "" : file);
        const blocks = file === "safetensors"
          ? await safetensorsBlocks(directory)
          : await blockGraphs(path);
        const stage = recognised(blocks);
        if (stage.kind === "unrecognised" || /webgpu/.test(file)) {
          assertEquals(stage.kind === "unrecognised" && stage.reason, REFUSED);
          return;
        }
        assertEquals(stage.blocks.size, config.num_hidden_layers + 2);
        const embed = ofKind("embed", stage.blocks.get("embed"));
        const head = ofKind("head", stage.blocks.get("head"));
        assertEquals([embed.table.n, embed.table.k], [config.vocab_size, config.hidden_size]);
        assertEquals(head.weight.weight.n, config.vocab_size);
        let last = head.norm;
        for (let i = 0; i < config.num_hidden_layers; i++) {
          const layer = ofKind("layer", stage.blocks.get(`layer.${i}`));
          assertLayer(layer, config, file);
          if (i < config.num_hidden_layers - 1) assertEquals(layer.outputNorm, null);
          else if (layer.outputNorm) last = layer.outputNorm;
        }
        assertEquals(head.norm === null, isHalf(file));
        assertEpsilon(last!, config, file);
        const place = head.weight.weight.sources[0]!;
        if (tied && /gguf|safetensors|genai-fp32|shared/.test(file)) {
          assertEquals(place, embed.table.sources[0]);
        } else if (!(place instanceof Uint8Array) && /untied/.test(directory)) {
          assertEquals(place.block, "head");
        }
      });
    }
  });
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** A directory with several kinds of model, seen as one of safetensors. */
async function safetensorsBlocks(directory: string): Promise<BlockGraphs> {
  const root = await Deno.makeTempDir();
  try {
    for await (const { name, isFile } of Deno.readDir(join(FIXTURES, directory))) {
      if (isFile) await Deno.symlink(join(FIXTURES, directory, name), join(root, name));
    }
    return await blockGraphs(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("the list above has every model file of the fixtures", async () => {
  for (const [directory, files] of Object.entries(MODELS)) {
    const found: string[] = [];
    for await (const { name, isDirectory } of Deno.readDir(join(FIXTURES, directory))) {
      if (!isDirectory || name === "oracle") continue;
      if (name.startsWith("genai")) found.push(name);
      else {
        for await (const file of Deno.readDir(join(FIXTURES, directory, name))) {
          if (/\.(onnx|gguf)$/.test(file.name)) found.push(`${name}/${file.name}`);
        }
      }
    }
    assertEquals(found.sort(), files.toSorted(), directory);
  }
});

Deno.test("recogniseBlock() knows each block by itself", async () => {
  const { models } = await blockGraphs(join(FIXTURES, "tiny-llama-tied/genai-int4"));
  for (const [name, model] of models) {
    if (name === "shared") continue;
    assertEquals(recogniseBlock(name, model).kind, name.replace(/\..*/, ""));
  }
});

for (
  const [name, path, form, remedy] of [
    ["GGUF", SMOLLM2_GGUF, "Q4_1", "set MDI_TEST_MODEL"],
    ["int4 export", SMOLLM2_ONNX, "nbits 4/32 f32 zero points u8", "set MDI_TEST_ONNX"],
  ] as const
) {
  Deno.test({
    name: `recogniseStage() knows SmolLM2's ${name}${modelNote(path, remedy)}`,
    ignore: path === undefined,
    fn: async () => {
      const stage = recognised(await blockGraphs(path!));
      const blocks = stage.kind === "stage" ? stage.blocks : new Map<string, DecoderBlock>();
      const layer = ofKind("layer", blocks.get("layer.29"));
      assertEquals([layer.dModel, layer.heads, layer.kvHeads, layer.headDim], [576, 9, 3, 64]);
      assertEquals(layer.scale, 0.125);
      assertEquals(layer.rope.type, "table");
      assertEquals(describe(layer.down.weight), form);
    },
  });
}

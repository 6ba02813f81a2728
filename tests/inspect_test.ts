/** What `mdi inspect` says of every model file of tests/fixtures, against the fixture's config.json. */
import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { describeModel } from "../engine/model/inspect.ts";
import { openModel } from "../engine/model/open.ts";
import { openSafetensors } from "../engine/model/safetensors/source.ts";
import { runMdi } from "./support/mdi_process.ts";
import { dtypeOf, type FileDtype, fixtureNames, FIXTURES, modelFilesOf } from "./support/oracle.ts";

/** The fields of a config.json that matter here. */
interface Config {
  model_type: string;
  num_hidden_layers: number;
  hidden_size: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  head_dim?: number | null;
  intermediate_size: number;
  vocab_size: number;
  max_position_embeddings: number;
  tie_word_embeddings: boolean;
}

const WEIGHT_FORMATS: Record<Exclude<FileDtype, "gguf">, string[]> = {
  fp32: ["F32"],
  fp16: ["F16"],
  q8: ["F32", "int8"],
  q4: ["F32", "int4/32"],
  q4f16: ["F16", "int4/32"],
  safetensors: ["F32"],
};

function weightFormats(file: string): string[] {
  const dtype = dtypeOf(file);
  if (dtype !== "gguf") return WEIGHT_FORMATS[dtype];
  const type = /model-(\w+)\.gguf$/.exec(file)![1]!.toUpperCase();
  return type === "Q4_K_M" ? ["Q4_K", "Q6_K"] : [type];
}

/** How often a file holds a vocabulary's table: optimum and 4-bit builders untie a tied one. */
function tablesIn(file: string, config: Config): number {
  const unties = /^onnx/.test(file) || /^genai.*int4\//.test(file);
  return config.tie_word_embeddings && !unties ? 1 : 2;
}

function layerParameters(config: Config, headDim: number): number {
  const { hidden_size: hidden, intermediate_size: intermediate, model_type: type } = config;
  const queries = headDim * config.num_attention_heads;
  const keys = headDim * config.num_key_value_heads;
  const biases = type === "qwen2" ? queries + 2 * keys : 0;
  const headNorms = type === "qwen3" ? 2 * headDim : 0;
  return 2 * hidden * (queries + keys) + 3 * hidden * intermediate + 2 * hidden + biases +
    headNorms;
}

for (const fixture of fixtureNames()) {
  Deno.test(`inspecting ${fixture} gives what its config says, whatever the file`, async (t) => {
    const root = join(FIXTURES, fixture);
    const config: Config = JSON.parse(await Deno.readTextFile(join(root, "config.json")));
    const { hidden_size: hidden, num_hidden_layers: layers, vocab_size: vocab } = config;
    const headDim = config.head_dim ?? hidden / config.num_attention_heads;
    for (const file of modelFilesOf(fixture)) {
      await t.step(file, async () => {
        const dtype = dtypeOf(file);
        await using source = dtype === "safetensors"
          ? await openSafetensors(root)
          : await openModel(join(root, file));
        const description = await describeModel(source);
        assertEquals(
          { ...description.config, context: null, bosToken: null, eosTokens: null },
          {
            ...source.config,
            // llama.cpp calls Mistral's architecture Llama.
            architecture: dtype === "gguf" && config.model_type === "mistral"
              ? "llama"
              : config.model_type,
            layers,
            hidden,
            heads: config.num_attention_heads,
            kvHeads: config.num_key_value_heads,
            headDim,
            intermediate: config.intermediate_size,
            vocab,
            context: null,
            bosToken: null,
            eosTokens: null,
          },
        );
        // Blocks that mdi writes itself attend to everything, so they end where a window does.
        const windowed = fixture.endsWith("-window") && dtype === "safetensors";
        assertEquals(description.config.context, windowed ? 8 : config.max_position_embeddings);
        assertEquals(
          description.parameters,
          layers * layerParameters(config, headDim) + hidden +
            tablesIn(file, config) * vocab * hidden,
        );
        assertEquals(description.dtypes.toSorted(), weightFormats(file));
        const halfCache = file.startsWith("genai-webgpu");
        assertEquals(
          description.kvBytesPerToken,
          2 * layers * config.num_key_value_heads * headDim * (halfCache ? 2 : 4),
        );
        const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
        assertEquals(description.bytes, sum(description.blocks.map(({ bytes }) => bytes)));
      });
    }
  });
}

Deno.test("mdi inspect prints the layers, the formats and the blocks", async () => {
  const home = await Deno.makeTempDir({ prefix: "mdi-test-" });
  try {
    const path = join(FIXTURES, "tiny-llama-256/gguf/model-q4_k_m.gguf");
    const { code, stdout } = await runMdi(["inspect", path], { home });
    assertEquals(code, 0);
    for (const words of [/layers +2\b/, /weights +Q6_K, Q4_K/, /layer\.0/, /vocabulary +512/]) {
      assertEquals(words.test(stdout), true, stdout);
    }
    const { records } = await runMdi(["inspect", path, "--json"], { home });
    assertEquals(records.map(({ type, dtypes }) => [type, dtypes]), [["model", ["Q6_K", "Q4_K"]]]);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});

import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MdiError } from "../../../wasm/error.ts";
import type { BlockRecipe, ModelSource } from "../types.ts";
import { openOnnxModel } from "./open_onnx_model.ts";

const TIED = fileURLToPath(new URL("../../../tests/fixtures/tiny-llama-tied", import.meta.url));

async function recipesOf(source: ModelSource): Promise<Map<string, BlockRecipe>> {
  const recipes = new Map<string, BlockRecipe>();
  for await (const recipe of source.blocks()) recipes.set(recipe.name, recipe);
  return recipes;
}

async function withDirectory(
  files: Record<string, string>,
  body: (directory: string) => Promise<void>,
): Promise<void> {
  const root = await Deno.makeTempDir();
  const directory = join(root, "model");
  await Deno.mkdir(directory);
  try {
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(join(directory, name), text);
    }
    await body(directory);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("openOnnxModel() opens a transformers.js layout with config, tokenizer and template", async () => {
  await using source = await openOnnxModel(TIED);
  assertEquals(source.kind, "onnx");
  assertEquals(source.name, "tiny-llama-tied");
  assertEquals(source.files.map(({ path, bytes }) => [path, bytes]), [
    [join(TIED, "onnx/model.onnx"), 998726],
  ]);
  assertEquals(source.config, {
    architecture: "llama",
    layers: 4,
    hidden: 64,
    heads: 4,
    kvHeads: 2,
    headDim: 16,
    intermediate: 128,
    vocab: 512,
    context: 512,
    bosToken: 506,
    eosTokens: [511],
  });
  assertEquals(source.kvBytesPerTokenLayer, 256);
  assertEquals(
    source.text.tokenizerConfig["chat_template"],
    await Deno.readTextFile(join(TIED, "chat_template.jinja")),
  );
});

Deno.test("openOnnxModel() takes the file of the dtype, a single file, or the builder's layout", async () => {
  const cases: [string, Parameters<typeof openOnnxModel>[1], string, number][] = [
    [TIED, { dtype: "q8" }, "onnx/model_quantized.onnx", 256],
    [TIED, { dtype: "q4f16" }, "onnx/model_q4f16.onnx", 256],
    [join(TIED, "onnx/model_q4.onnx"), {}, "onnx/model_q4.onnx", 256],
    [join(TIED, "onnx_raw/model.onnx"), { dtype: "fp32" }, "onnx_raw/model.onnx", 256],
    [join(TIED, "genai-int4"), { dtype: "q4" }, "genai-int4/model.onnx", 256],
    [join(TIED, "genai-webgpu-fp16"), { tokenizerDir: TIED }, "genai-webgpu-fp16/model.onnx", 128],
  ];
  for (const [path, options, file, kvBytes] of cases) {
    await using source = await openOnnxModel(path, options);
    assertEquals(source.files[0]!.path, join(TIED, file));
    assertEquals(source.kvBytesPerTokenLayer, kvBytes);
  }
  await using builder = await openOnnxModel(join(TIED, "genai-int4"));
  assertEquals(builder.files.length, 2);
  assertEquals(builder.text.sampling, {});
});

Deno.test("openOnnxModel() names the dtypes that are there", async () => {
  const wrong = await assertRejects(
    () => openOnnxModel(join(TIED, "genai-int4"), { dtype: "fp16" }),
    MdiError,
    "as fp16: its only file is q4",
  );
  assertEquals(wrong.code, "model_missing");
  await withDirectory({ "model_q4.onnx": "", "model_fp16.onnx": "" }, async (directory) => {
    await assertRejects(
      () => openOnnxModel(directory, { dtype: "q8" }),
      MdiError,
      "it has q4, fp16",
    );
  });
  await withDirectory({}, async (directory) => {
    await assertRejects(() => openOnnxModel(directory), MdiError, "no model.onnx");
  });
  await assertRejects(() => openOnnxModel(join(TIED, "absent")), MdiError, "absent");
});

Deno.test("openOnnxModel() refuses configs that are missing, broken or of another model", async () => {
  const onnx = join(TIED, "onnx/model_q4.onnx");
  const tokenizer = await Deno.readTextFile(join(TIED, "tokenizer.json"));
  const config = JSON.parse(await Deno.readTextFile(join(TIED, "config.json")));
  const open = (files: Record<string, string>) =>
    withDirectory(files, async (directory) => {
      await Deno.symlink(onnx, join(directory, "model.onnx"));
      await using source = await openOnnxModel(directory);
      assertEquals(Object.getPrototypeOf(source.text.tokenizerConfig), Object.prototype);
      assertEquals(({} as Record<string, unknown>)["polluted"], undefined);
    });
  const good = { "config.json": JSON.stringify(config), "tokenizer.json": tokenizer };
  await open({ ...good, "tokenizer_config.json": `{"__proto__":{"polluted":1}}` });
  const cases: [Record<string, string>, MdiError["code"], string][] = [
    [{ "tokenizer.json": tokenizer }, "model_missing", "no config.json"],
    [{ "config.json": good["config.json"] }, "model_missing", "no tokenizer.json"],
    [{ ...good, "config.json": "{" }, "model_corrupt", "not JSON"],
    [{ ...good, "config.json": "[]" }, "model_corrupt", "not a JSON object"],
    [
      { ...good, "config.json": JSON.stringify({ ...config, num_hidden_layers: 5 }) },
      "model_corrupt",
      "4 in the graph and 5 in the config",
    ],
    [
      { ...good, "config.json": JSON.stringify({ ...config, max_position_embeddings: "many" }) },
      "model_corrupt",
      "context length",
    ],
  ];
  for (const [files, code, words] of cases) {
    const error = await assertRejects(() => open(files), MdiError, words);
    assertEquals(error.code, code);
  }
});

Deno.test("openOnnxModel() reads end tokens, sampling and licence", async () => {
  await withDirectory({
    "config.json": await Deno.readTextFile(join(TIED, "config.json")),
    "tokenizer.json": await Deno.readTextFile(join(TIED, "tokenizer.json")),
    "generation_config.json": JSON.stringify({
      eos_token_id: [2, 7, -1, "x", 7],
      do_sample: true,
      temperature: 0.6,
      top_k: 20,
      top_p: 1.5,
      repetition_penalty: 0,
    }),
    "README.md": "---\ntags: [x]\nlicense: apache-2.0\n---\nlicense: mit\n",
  }, async (directory) => {
    await Deno.symlink(join(TIED, "onnx/model.onnx"), join(directory, "model.onnx"));
    await using source = await openOnnxModel(directory);
    assertEquals(source.config.eosTokens, [2, 7]);
    assertEquals(source.text.sampling, { doSample: true, temperature: 0.6, topK: 20 });
    assertEquals(source.license, "apache-2.0");
  });
});

Deno.test("openOnnxModel() stores what embed and head share once, and tables of all layers in shared", async () => {
  await using shared = await openOnnxModel(join(TIED, "genai-int4-shared"));
  const recipes = await recipesOf(shared);
  assertEquals([...recipes.keys()], [
    "shared",
    "embed",
    "layer.0",
    "layer.1",
    "layer.2",
    "layer.3",
    "head",
  ]);
  assertEquals([...recipes.get("shared")!.data.values()].map(({ bytes }) => bytes), [16384, 16384]);
  const elsewhere = (name: string) =>
    [...recipes.get(name)!.elsewhere.values()].map(([block]) => block);
  assertEquals(elsewhere("layer.2"), ["shared", "shared"]);
  assertEquals(elsewhere("head"), ["embed"]);
  assertEquals(elsewhere("embed"), []);
  assertEquals(recipes.get("embed")!.dtypes, ["int4/32"]);
  assertEquals(recipes.get("embed")!.parameters, 512 * 64);
});

Deno.test("openOnnxModel() counts the parameters of a model alike in every format", async () => {
  // 4 layers of attention, MLP and two norms; the last norm; embedding and head.
  const layer = 64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128 + 2 * 64;
  const cases = {
    "genai-fp32": 1,
    "genai-int4-shared": 1,
    "genai-int4": 2,
    "genai-webgpu-fp16": 1,
  };
  for (const [directory, tables] of Object.entries(cases)) {
    await using source = await openOnnxModel(join(TIED, directory));
    let parameters = 0;
    for (const recipe of (await recipesOf(source)).values()) parameters += recipe.parameters;
    assertEquals(parameters, 4 * layer + 64 + tables * 512 * 64, directory);
  }
});

Deno.test("openOnnxModel() keeps layer numbers and exporter's names out of the blocks", async () => {
  for (const path of [TIED, join(TIED, "genai-int4")]) {
    await using source = await openOnnxModel(path);
    const recipes = await recipesOf(source);
    const structure = (name: string) => {
      const graph = recipes.get(name)!.model.graph!;
      return graph.node.map(({ opType, input, output }) => [opType, input, output]);
    };
    assertEquals(structure("layer.1"), structure("layer.2"));
    for (const { model } of recipes.values()) {
      for (const { input, output } of model.graph!.node) {
        for (const name of [...input, ...output]) {
          assert(
            /^$|^[wv]\d+$|^(hidden|hidden_out|logits|input_ids|attention_mask|position_ids|(past|present)\.(key|value))$/
              .test(name),
            name,
          );
        }
      }
    }
  }
});

Deno.test("openOnnxModel() stops at its signal", async () => {
  await assertRejects(
    () => openOnnxModel(join(TIED, "onnx_raw"), { signal: AbortSignal.abort() }),
  );
});

Deno.test("openOnnxModel() refuses broken files with what it met", async () => {
  const cases: [string, MdiError["code"], string][] = [
    ["truncated.onnx", "model_corrupt", "truncated.onnx"],
    ["external_missing.onnx", "model_missing", "holds the weights of external_missing.onnx"],
    ["external_short.onnx", "model_corrupt", "has 128"],
    ["external_outside.onnx", "model_corrupt", "../tiny-llama-untied/model.safetensors"],
  ];
  for (const [file, code, words] of cases) {
    const path = join(TIED, "../broken", file);
    const error = await assertRejects(() => openOnnxModel(path), MdiError, words);
    assertEquals(error.code, code);
  }
});

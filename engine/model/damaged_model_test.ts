/** Whole models with something wrong in them: each is opened and described, or refused as an MdiError. */
import { assert } from "@std/assert";
import fc from "fast-check";
import { join } from "node:path";
import { acceptOrRefuseAsync, damagedBytes, damagedJson } from "../../tests/support/hostile.ts";
import { createTokenizer } from "../text/tokenizer.ts";
import { FIXTURES } from "./emit/_fixtures.ts";
import { describeModel } from "./inspect.ts";
import { openModel } from "./open.ts";

/** Reads all of a model but its weights. @returns whether it was taken. */
async function look(path: string): Promise<boolean> {
  const taken = await acceptOrRefuseAsync(async () => {
    await using source = await openModel(path);
    const { bytes, config } = await describeModel(source);
    assert(Number.isSafeInteger(bytes) && config.layers >= 1);
    createTokenizer(source.text).encode("a b");
    return true;
  });
  return taken ?? false;
}

/** Runs a test in a copy of some of a fixture's files, all in one directory. */
async function inCopy(
  fixture: string,
  files: readonly string[],
  fn: (directory: string) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "mdi-damaged-" });
  try {
    for (const file of files) {
      await Deno.copyFile(join(FIXTURES, fixture, file), join(directory, file.split("/").at(-1)!));
    }
    assert(await look(directory), "the copy itself is taken");
    await fn(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Damages one file's first bytes again and again. */
async function damageFile(path: string, front: number, numRuns: number): Promise<void> {
  const whole = await Deno.readFile(path);
  const end = Math.min(front, whole.length);
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(damagedBytes(whole, { end }), async (bytes) => {
      await Deno.writeFile(path, bytes);
      if (!await look(join(path, ".."))) refused++;
    }),
    { numRuns },
  );
  await Deno.writeFile(path, whole);
  assert(refused > 0, "some damage is seen");
}

/** Damages one JSON file's values again and again. */
async function damageValues(path: string, numRuns: number): Promise<void> {
  const text = await Deno.readTextFile(path);
  await fc.assert(
    fc.asyncProperty(damagedJson<unknown>(JSON.parse(text)), async (value) => {
      await Deno.writeTextFile(path, JSON.stringify(value) ?? "");
      await look(join(path, ".."));
    }),
    { numRuns },
  );
  await Deno.writeTextFile(path, text);
}

const HEAD = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"];

Deno.test("openModel() takes or refuses a damaged GGUF file", () =>
  inCopy("tiny-qwen2", ["gguf/model-q8_0.gguf"], async (directory) => {
    await damageFile(join(directory, "model-q8_0.gguf"), 16_384, 150);
  }));

Deno.test("openModel() takes or refuses a damaged safetensors model", () =>
  inCopy("tiny-qwen2", [...HEAD, "model.safetensors"], async (directory) => {
    await damageFile(join(directory, "model.safetensors"), 4096, 100);
    for (const name of HEAD) await damageValues(join(directory, name), 60);
  }));

Deno.test("openModel() takes or refuses a damaged ONNX export", () =>
  inCopy(
    "tiny-qwen2",
    [
      "genai-int4/model.onnx",
      "genai-int4/model.onnx.data",
      "genai-int4/genai_config.json",
      ...HEAD.slice(2),
    ],
    async (directory) => {
      await damageFile(join(directory, "model.onnx"), Infinity, 150);
      await damageValues(join(directory, "genai_config.json"), 100);
    },
  ));

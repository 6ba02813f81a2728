import { assertEquals, assertRejects } from "@std/assert";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { MdiError, type MdiErrorCode } from "../../wasm/error.ts";
import { withStore } from "../store/_test_util.ts";
import { importModel } from "./import.ts";
import { openModel, type OpenModelOptions } from "./open.ts";

const fixture = fileURLToPath(new URL("../../tests/fixtures/tiny-llama-tied", import.meta.url));

Deno.test("openModel() takes each kind of model for what it is, and all import", async () => {
  const dir = await Deno.makeTempDir({ prefix: "mdi-open-" });
  try {
    await Deno.copyFile(join(fixture, "gguf/model-q4_1.gguf"), join(dir, "one.gguf"));
    const cases: [string, OpenModelOptions, string][] = [
      [join(fixture, "gguf/model-f16.gguf"), {}, "gguf"],
      [dir, {}, "gguf"],
      [fixture, {}, "onnx"],
      [fixture, { dtype: "fp16" }, "onnx"],
      [join(fixture, "onnx/model_q4.onnx"), {}, "onnx"],
      [join(fixture, "genai-int4"), {}, "onnx"],
    ];
    for (const [path, options, kind] of cases) {
      await using source = await openModel(path, options);
      assertEquals([source.kind, source.config.layers], [kind, 4], path);
      await withStore(async (store) => {
        const manifest = await importModel(source, store);
        assertEquals(await store.missing(manifest.blocks), []);
      });
    }
    for (
      const name of ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
    ) {
      await Deno.copyFile(join(fixture, name), join(dir, name));
    }
    await using source = await openModel(dir);
    assertEquals(source.kind, "safetensors");
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("openModel() says what it met instead of a model", async () => {
  const dir = await Deno.makeTempDir({ prefix: "mdi-open-" });
  const write = async (name: string, text: string) => {
    await Deno.writeTextFile(join(dir, name), text);
    return join(dir, name);
  };
  const gguf = join(fixture, "gguf/model-f16.gguf");
  try {
    await Deno.mkdir(join(dir, "empty"));
    await Deno.mkdir(join(dir, "two"));
    await Deno.mkdir(join(dir, "docs"));
    await write("docs/a.md", "");
    await write("docs/b.md", "");
    await write("two/a.gguf", "GGUF");
    await write("two/b.gguf", "GGUF");
    const cases: [string, OpenModelOptions, MdiErrorCode, string][] = [
      ["", {}, "model_missing", "there is no such file or directory"],
      [join(dir, "none"), {}, "model_missing", "there is no such file or directory"],
      [join(dir, "empty"), {}, "model_missing", "the directory is empty"],
      [join(dir, "two"), {}, "model_missing", "2 GGUF files (a.gguf, b.gguf)"],
      [join(dir, "docs"), {}, "model_missing", "it has no model file, only a.md, b.md"],
      [await write("x.gguf", ""), {}, "model_corrupt", "the file is empty"],
      [await write("y.gguf", "nothing"), {}, "model_corrupt", 'does not start with "GGUF"'],
      [await write("z.onnx", "<!DOCTYPE html>"), {}, "model_corrupt", "a web page"],
      [
        await write("l.onnx", "version https://git-lfs.github.com/spec/v1"),
        {},
        "model_corrupt",
        "Git LFS pointer",
      ],
      [await write("m.bin", "junk"), {}, "model_unsupported", "neither GGUF nor ONNX"],
      [await write("m.safetensors", "junk"), {}, "model_unsupported", "give its directory"],
      [gguf, { dtype: "q4" }, "model_unsupported", "with --dtype q4: a GGUF file has one type"],
      [gguf, { tokenizerDir: "/t" }, "model_unsupported", "has its own tokenizer"],
    ];
    for (const [path, options, code, message] of cases) {
      const error = await assertRejects(() => openModel(path, options), MdiError, message);
      assertEquals(error.code, code);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

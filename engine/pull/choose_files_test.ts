import { assertEquals, assertThrows } from "@std/assert";
import { MdiError } from "../../wasm/error.ts";
import { chooseFiles } from "./choose_files.ts";

function choose(paths: string[], selection?: string) {
  const files = paths.map((path) => ({ path, bytes: 1 }));
  const { files: chosen, entry, dtype } = chooseFiles("o/n", files, selection);
  return { paths: chosen.map(({ path }) => path), entry, dtype };
}

const TEXT = ["config.json", "tokenizer.json", "tokenizer_config.json"];
const EXPORT = [
  ...TEXT,
  "README.md",
  "onnx/model.onnx",
  "onnx/model.onnx_data",
  "onnx/model_q4.onnx",
  "onnx/model_q4f16.onnx",
  "onnx/model_q4f16.onnx_data",
  "onnx/model_int8.onnx",
];

Deno.test("chooseFiles() takes the GGUF that is named, by file or by type", () => {
  const paths = ["a.Q4_K_M.gguf", "a.Q4_K_S.gguf", "a-IQ4_XS.gguf", "a-f16.gguf", "README.md"];
  const one = (path: string) => ({ paths: [path], entry: path, dtype: null });
  assertEquals(choose(paths, "q4_k_m"), one("a.Q4_K_M.gguf"));
  assertEquals(choose(paths, "F16"), one("a-f16.gguf"));
  assertEquals(choose(paths, "iq4_xs"), one("a-IQ4_XS.gguf"));
  assertEquals(choose(paths, "a.Q4_K_S.gguf"), one("a.Q4_K_S.gguf"));
  assertEquals(choose(["only.gguf"]), one("only.gguf"));
  for (const selection of [undefined, "q4", "b.gguf"]) {
    assertThrows(() => choose(paths, selection), MdiError, "a.Q4_K_M.gguf, a.Q4_K_S.gguf");
  }
  assertThrows(() => choose(["a-00001-of-00002.gguf"]), MdiError, "one part of a split GGUF");
});

Deno.test("chooseFiles() takes one file of an export with its data and its tokenizer", () => {
  const chosen = (dtype: string, ...paths: string[]) => ({
    paths: [...TEXT, ...paths],
    entry: "",
    dtype,
  });
  const q4f16 = ["onnx/model_q4f16.onnx", "onnx/model_q4f16.onnx_data"];
  assertEquals<unknown>(choose(EXPORT), chosen("q8", "onnx/model_int8.onnx"));
  assertEquals<unknown>(choose(EXPORT, "q4"), chosen("q4", "onnx/model_q4.onnx"));
  assertEquals<unknown>(choose(EXPORT, "q4f16"), chosen("q4f16", ...q4f16));
  assertEquals<unknown>(choose(EXPORT, "onnx/model_q4f16.onnx"), chosen("q4f16", ...q4f16));
  assertEquals<unknown>(
    choose(EXPORT, "fp32"),
    chosen("fp32", "onnx/model.onnx", "onnx/model.onnx_data"),
  );
  assertThrows(() => choose(EXPORT, "fp16"), MdiError, "onnx/model_q4.onnx");
});

Deno.test("chooseFiles() takes a builder's export from its directory", () => {
  const paths = ["cpu/model.onnx", "cpu/model.onnx.data", "cpu/genai_config.json", "config.json"];
  assertEquals(choose([...paths, "gpu/model.onnx"], "cpu/model.onnx"), {
    paths,
    entry: "cpu",
    dtype: null,
  });
});

Deno.test("chooseFiles() takes whole safetensors only", () => {
  const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  const index = "model.safetensors.index.json";
  assertEquals(choose([...TEXT, "model.safetensors"]).paths, [...TEXT, "model.safetensors"]);
  assertEquals(choose([...TEXT, index, ...shards, "pytorch_model.bin"]).paths, [
    ...TEXT,
    index,
    ...shards,
  ]);
  assertThrows(() => choose([...TEXT, index, shards[0]!]), MdiError, "no model file");
  assertThrows(() => choose(["model.safetensors"]), MdiError, "config.json");
  assertThrows(() => choose([]), MdiError, "no model file");
});

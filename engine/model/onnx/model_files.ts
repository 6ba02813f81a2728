/**
 * Finds the files of an ONNX export, in the layouts that exporters write:
 *
 *     transformers.js   config.json, tokenizer.json …, onnx/model[_fp16|_q4|_q4f16|_quantized …].onnx
 *     builder           genai_config.json, model.onnx, model.onnx.data; tokenizer beside or above
 *     one file          any .onnx file; configs beside it or one directory above
 */
import { basename, dirname, join } from "node:path";
import { MdiError, messageOf } from "../../../wasm/error.ts";
import { readJsonFile } from "../hf/json_file.ts";
import { objectAt } from "../hf/json_value.ts";

/** What `--dtype` can ask for. */
export type OnnxDtype = "fp32" | "fp16" | "q8" | "q4" | "q4f16";

/** Names after "model" that a dtype's file may have, the preferred one first. */
const SUFFIXES: Readonly<Record<OnnxDtype, readonly string[]>> = {
  fp32: [""],
  q8: ["_quantized", "_int8", "_uint8"],
  q4: ["_q4"],
  fp16: ["_fp16"],
  q4f16: ["_q4f16"],
};

/**
 * The dtypes in the order of preference where none is asked for, the fastest in ONNX Runtime's WASM
 * first: it has SIMD products for f32 and int8, computes f16 in f32, and 4 bits without SIMD.
 */
export const DTYPE_ORDER: readonly OnnxDtype[] = ["fp32", "q8", "q4", "fp16", "q4f16"];

/** The graph's file and where the files about it are searched. */
export interface ModelFiles {
  /** The .onnx file. */
  onnx: string;
  /** What its name says it holds; null where the name says nothing. */
  dtype: OnnxDtype | null;
  /** Directories of config and tokenizer, the nearest first. */
  directories: string[];
  /** A short name: that of the directory, or of the file. */
  name: string;
}

/**
 * Finds the graph to read.
 * @throws {MdiError} model_missing where there is none, with the dtypes that are there.
 */
export async function findModelFiles(path: string, dtype?: OnnxDtype): Promise<ModelFiles> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.stat(path);
  } catch (cause) {
    throw new MdiError("model_missing", `Cannot open ${path}: ${messageOf(cause)}`, { cause });
  }
  const full = await Deno.realPath(info.isFile ? dirname(path) : path);
  if (info.isFile) {
    return {
      onnx: join(full, basename(path)),
      dtype: dtypeOfName(basename(path)),
      directories: [full, dirname(full)],
      name: basename(path),
    };
  }
  const found = new Map<OnnxDtype, string>();
  for (const directory of [full, join(full, "onnx")]) {
    for (const each of DTYPE_ORDER) {
      const file = await firstFile(
        directory,
        SUFFIXES[each].map((suffix) => `model${suffix}.onnx`),
      );
      if (file) found.set(each, file);
    }
  }
  const builder = await builderFile(full);
  const chosen = dtype ?? DTYPE_ORDER.find((each) => found.has(each));
  const onnx = (chosen && found.get(chosen)) ?? builder;
  if (onnx && (onnx === builder || chosen)) {
    return {
      onnx,
      dtype: onnx === builder ? null : chosen!,
      directories: [full, dirname(full)],
      name: basename(full),
    };
  }
  const there = DTYPE_ORDER.filter((each) => found.has(each));
  throw new MdiError(
    "model_missing",
    there.length > 0
      ? `Cannot open ${path} as ${dtype}: it has ${
        there.join(", ")
      }; choose one of them with --dtype`
      : `Cannot open ${path}: it has no model.onnx and no onnx/model*.onnx`,
    { details: { path, dtypes: there.join(",") } },
  );
}

/** The file that a builder's genai_config.json names, in the very directory. */
async function builderFile(directory: string): Promise<string | undefined> {
  const config = await readJsonFile(join(directory, "genai_config.json"));
  const decoder = objectAt(objectAt(config, "model"), "decoder");
  const name = decoder?.["filename"] ?? "model.onnx";
  if (!config || typeof name !== "string" || basename(name) !== name || !name.endsWith(".onnx")) {
    return undefined;
  }
  return await firstFile(directory, [name]);
}

function dtypeOfName(name: string): OnnxDtype | null {
  return DTYPE_ORDER.find((dtype) =>
    dtype !== "fp32" && SUFFIXES[dtype].some((suffix) => name.endsWith(`${suffix}.onnx`))
  ) ?? null;
}

async function firstFile(directory: string, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) {
    try {
      if ((await Deno.stat(join(directory, name))).isFile) return join(directory, name);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory)) {
        throw error;
      }
    }
  }
  return undefined;
}

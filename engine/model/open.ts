/** Opens a model by looking at what lies at a path. */
import { join } from "node:path";
import { MdiError } from "../../wasm/error.ts";
import { namesIn, onDisk, statOf } from "../store/disk.ts";
import { openGguf } from "./gguf/source.ts";
import type { OnnxDtype } from "./onnx/model_files.ts";
import { openOnnxModel } from "./onnx/open_onnx_model.ts";
import { openSafetensors } from "./safetensors/source.ts";
import type { ModelKind, ModelSource } from "./types.ts";

/** How a model is opened. */
export interface OpenModelOptions {
  /** Which file of an ONNX export. */
  dtype?: OnnxDtype | undefined;
  /** Directory of the tokenizer's files, where they are not with the model. */
  tokenizerDir?: string | undefined;
  /** Ends the reading. */
  signal?: AbortSignal | undefined;
}

const ACCEPTED = "a GGUF file, an ONNX export or a Hugging Face safetensors directory";

/**
 * Opens a GGUF file or a directory with exactly one, an ONNX export (a directory with `onnx/` or
 * `*.onnx`, or one such file), or a directory with safetensors. Of a directory with several of these
 * the ONNX export is taken, then the safetensors.
 * @throws {MdiError} model_missing, model_corrupt or model_unsupported, naming what was met.
 */
export async function openModel(
  path: string,
  options: OpenModelOptions = {},
): Promise<ModelSource> {
  const info = path === "" ? undefined : await onDisk(`open ${path}`, path, () => statOf(path));
  if (info === undefined) {
    throw new MdiError(
      "model_missing",
      `Cannot open model "${path}": there is no such file or directory; give ${ACCEPTED}`,
      { details: { path } },
    );
  }
  const found = info.isDirectory ? await lookIntoDirectory(path) : await lookIntoFile(path);
  const signal = options.signal ? { signal: options.signal } : {};
  const dtype = options.dtype ? { dtype: options.dtype } : {};
  const tokenizerDir = options.tokenizerDir ? { tokenizerDir: options.tokenizerDir } : {};
  switch (found.kind) {
    case "onnx":
      return await openOnnxModel(found.path, { ...dtype, ...tokenizerDir, ...signal });
    case "safetensors":
      refuse(found, "--dtype", options.dtype, "only an ONNX export has files of several types");
      return await openSafetensors(found.path, { ...tokenizerDir, ...signal });
    case "gguf":
      refuse(found, "--dtype", options.dtype, "a GGUF file has one type for each tensor");
      refuse(found, "--tokenizer", options.tokenizerDir, "a GGUF file has its own tokenizer");
      return await openGguf(found.path, signal);
  }
}

interface Found {
  kind: ModelKind;
  path: string;
}

function refuse(found: Found, flag: string, value: string | undefined, why: string): void {
  if (value === undefined) return;
  throw new MdiError(
    "model_unsupported",
    `Cannot open ${found.path} with ${flag} ${value}: ${why}; leave ${flag} out`,
    { details: { path: found.path } },
  );
}

async function lookIntoFile(path: string): Promise<Found> {
  const head = await onDisk(`open ${path}`, path, () => readHead(path));
  if (head.startsWith("GGUF")) return { kind: "gguf", path };
  const corrupt = (why: string) =>
    new MdiError("model_corrupt", `Cannot open ${path}: ${why}; fetch it again`, {
      details: { path },
    });
  if (head === "") throw corrupt("the file is empty");
  if (head.startsWith("version https://git-lfs")) {
    throw corrupt("it is a Git LFS pointer and not the file itself");
  }
  if (/^<!doctype|^<html/i.test(head)) throw corrupt("it is a web page");
  if (path.endsWith(".onnx")) return { kind: "onnx", path };
  if (path.endsWith(".gguf")) throw corrupt('it does not start with "GGUF"');
  const advice = path.endsWith(".safetensors")
    ? "give its directory, which must have config.json and tokenizer.json too"
    : `give ${ACCEPTED}`;
  throw new MdiError(
    "model_unsupported",
    `Cannot open ${path}: it is neither GGUF nor ONNX; ${advice}`,
    { details: { path } },
  );
}

/** The first bytes of a file, as Latin-1. */
async function readHead(path: string): Promise<string> {
  using file = await Deno.open(path);
  const bytes = new Uint8Array(32);
  const read = await file.read(bytes) ?? 0;
  return String.fromCharCode(...bytes.subarray(0, read));
}

async function lookIntoDirectory(path: string): Promise<Found> {
  const names = await onDisk(`open ${path}`, path, () => namesIn(path));
  const ending = (list: string[], end: string) => list.filter((name) => name.endsWith(end));
  const exports = ending(names, ".onnx");
  const nested = names.includes("onnx") ? ending(await namesIn(join(path, "onnx")), ".onnx") : [];
  if (exports.length === 1 && exports[0] !== "model.onnx" && nested.length === 0) {
    return { kind: "onnx", path: join(path, exports[0]!) };
  }
  if (exports.length + nested.length > 0) return { kind: "onnx", path };
  if (ending(names, ".safetensors").length > 0) return { kind: "safetensors", path };
  const ggufs = ending(names, ".gguf");
  if (ggufs.length === 1) return await lookIntoFile(join(path, ggufs[0]!));
  const some = names.slice(0, 10).join(", ") + (names.length > 10 ? ", …" : "");
  const met = ggufs.length > 1
    ? `it has ${ggufs.length} GGUF files (${ggufs.slice(0, 10).join(", ")}); give the path of one`
    : names.length === 0
    ? `the directory is empty; give ${ACCEPTED}`
    : `it has no model file, only ${some}; give ${ACCEPTED}`;
  throw new MdiError("model_missing", `Cannot open ${path}: ${met}`, { details: { path } });
}

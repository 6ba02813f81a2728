/** Which files of a repository make up a model. */
import { MdiError } from "../../wasm/error.ts";
import type { OnnxDtype } from "../model/onnx/model_files.ts";

/** A file of a repository. */
export interface RepoFile {
  /** Relative, with "/". */
  path: string;
  /** Its size. */
  bytes: number;
}

/** The files that are needed, and how to open them. */
export interface Choice<F extends RepoFile> {
  /** In the repository's order. */
  files: F[];
  /** What to open: a file's path, a directory's, or "" for the root. */
  entry: string;
  /** Which file of an export to take where the directory may hold several; null for the only one. */
  dtype: OnnxDtype | null;
}

/** Small files that a model may need beside its weights. */
const SIDE_FILES = new Set([
  "config.json",
  "generation_config.json",
  "genai_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
  "chat_template.json",
]);

/**
 * Endings of an export's file names in the transformers.js layout, the preferred first: eight bits take a
 * quarter of the bytes of f32 at nearly its speed in ONNX Runtime's WASM.
 */
const ENDINGS: readonly { ending: string; dtype: OnnxDtype }[] = [
  { ending: "_quantized", dtype: "q8" },
  { ending: "_int8", dtype: "q8" },
  { ending: "_uint8", dtype: "q8" },
  { ending: "_q4", dtype: "q4" },
  { ending: "_q4f16", dtype: "q4f16" },
  { ending: "_fp16", dtype: "fp16" },
  { ending: "", dtype: "fp32" },
];

const SHARD = /^model-(\d{5})-of-(\d{5})\.safetensors$/;

/**
 * Chooses the files of a model.
 * @param selection a file's path, a dtype of an export ("q4f16"), a quantisation of a GGUF ("q4_k_m"), or
 * undefined: then the ONNX export, the safetensors or the only GGUF, the first of these that there is.
 * @throws {MdiError} model_missing, naming what there is.
 */
export function chooseFiles<F extends RepoFile>(
  repo: string,
  all: readonly F[],
  selection?: string,
): Choice<F> {
  const ggufs = all.filter(({ path }) => path.endsWith(".gguf"));
  const exports = all.filter(({ path }) => path.endsWith(".onnx"));
  if (selection !== undefined && /[/]|\.(gguf|onnx|safetensors)$/.test(selection)) {
    const file = [...ggufs, ...exports].find(({ path }) => path === selection);
    if (!file) throw nothing(repo, `no model file "${selection}"`, [...ggufs, ...exports]);
    return file.path.endsWith(".gguf") ? oneGguf(repo, file) : oneExport(all, file);
  }
  if (selection !== undefined) {
    const wanted = selection.toLowerCase();
    const exported = exportOf(exports, wanted);
    if (exported) return oneExport(all, exported);
    const matching = ggufs.filter(({ path }) => quantisationOf(path) === wanted);
    if (matching.length === 1) return oneGguf(repo, matching[0]!);
    throw nothing(repo, `not one file of type "${selection}"`, [...ggufs, ...exports]);
  }
  const exported = exportOf(exports);
  if (exported) return oneExport(all, exported);
  const safetensors = wholeSafetensors(all);
  if (safetensors) return safetensors;
  if (ggufs.length === 1) return oneGguf(repo, ggufs[0]!);
  throw nothing(
    repo,
    ggufs.length + exports.length > 0 ? "several model files" : "no model file",
    [...ggufs, ...exports],
  );
}

function nothing(repo: string, met: string, files: readonly RepoFile[]): MdiError {
  const names = files.map(({ path }) => path);
  const shown = names.slice(0, 40).join(", ") + (names.length > 40 ? ", …" : "");
  const advice = names.length > 0
    ? `choose one with "${repo}:FILE" or "${repo}:TYPE"; there are ${shown}`
    : "it must have a GGUF file, an ONNX export or safetensors with a config.json";
  return new MdiError("model_missing", `Cannot choose a file of ${repo}: it has ${met}; ${advice}`);
}

function quantisationOf(path: string): string | undefined {
  return /[-._]((?:i?q\d\w*)|f16|f32|bf16)\.gguf$/i.exec(path)?.[1]?.toLowerCase();
}

function oneGguf<F extends RepoFile>(repo: string, file: F): Choice<F> {
  if (/-\d{5}-of-\d{5}\.gguf$/.test(file.path)) {
    throw new MdiError(
      "model_unsupported",
      `Cannot use ${repo}: ${file.path} is one part of a split GGUF; choose a file that is whole`,
    );
  }
  return { files: [file], entry: file.path, dtype: null };
}

/** The export of a type, which may also be given by its ending ("int8"); the preferred one without. */
function exportOf<F extends RepoFile>(exports: readonly F[], type?: string): F | undefined {
  for (const { ending, dtype } of ENDINGS) {
    if (type !== undefined && type !== dtype && `_${type}` !== ending) continue;
    for (const name of ["onnx/model", "model"]) {
      const found = exports.find(({ path }) => path === `${name}${ending}.onnx`);
      if (found) return found;
    }
  }
  return undefined;
}

function oneExport<F extends RepoFile>(all: readonly F[], file: F): Choice<F> {
  const slash = file.path.lastIndexOf("/");
  const folder = file.path.slice(0, slash + 1);
  const root = folder === "onnx/" ? "" : folder;
  const name = file.path.slice(slash + 1);
  const dtype = ENDINGS.find(({ ending }) => name === `model${ending}.onnx`)?.dtype;
  const isData = (path: string) =>
    path.startsWith(`${file.path}_data`) || path.startsWith(`${file.path}.data`);
  const files = all.filter(({ path }) =>
    path === file.path || isData(path) || isSideFile(path, "") || isSideFile(path, root)
  );
  return {
    files,
    entry: root.replace(/\/$/, ""),
    dtype: folder === "onnx/" ? dtype ?? null : null,
  };
}

function isSideFile(path: string, folder: string): boolean {
  return path.startsWith(folder) && SIDE_FILES.has(path.slice(folder.length));
}

function wholeSafetensors<F extends RepoFile>(all: readonly F[]): Choice<F> | undefined {
  const side = all.filter(({ path }) => isSideFile(path, ""));
  if (!side.some(({ path }) => path === "config.json")) return undefined;
  const single = all.find(({ path }) => path === "model.safetensors");
  if (single) return { files: [...side, single], entry: "", dtype: null };
  const index = all.find(({ path }) => path === "model.safetensors.index.json");
  const shards = all.filter(({ path }) => SHARD.test(path));
  const count = Number(SHARD.exec(shards[0]?.path ?? "")?.[2]);
  if (!index || shards.length !== count) return undefined;
  return { files: [...side, index, ...shards], entry: "", dtype: null };
}

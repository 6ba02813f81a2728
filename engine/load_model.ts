/** From a name to a manifest whose blocks are in the store: pull, open, cut once. */
import { importInWorker } from "./import_in_worker.ts";
import { DTYPE_ORDER, type OnnxDtype } from "./model/onnx/model_files.ts";
import type { Manifest, ModelSource, SamplingDefaults } from "./model/types.ts";
import { type PulledFiles, pullFiles } from "./pull/pull.ts";
import type { Pin } from "./store/pin.ts";
import type { Store } from "./store/store.ts";
import { createTokenizer, type Tokenizer } from "./text/tokenizer.ts";

/** What happens meanwhile. */
export interface LoadModelEvent {
  /** "pull" brings files, "import" cuts them, "note" is for people. */
  type: "pull" | "import" | "note";
  /** One line for people. */
  message: string;
  /** Bytes or blocks done, where it takes time. */
  done?: number;
  /** Bytes or blocks in all; 0 where unknown. */
  total?: number;
}

/** How {@linkcode loadModel} goes about it. */
export interface LoadModelOptions {
  /** Where the blocks go. */
  store: Store;
  /** Keeps what is used from being collected. */
  pin?: Pin | undefined;
  /** Which file of an ONNX export. */
  dtype?: string | undefined;
  /** Directory of the tokenizer files, where the model's own has none. */
  tokenizerDir?: string | undefined;
  /** Bytes of memory that all nodes have free; a larger model is refused before it is fetched. */
  memoryBytes?: number | undefined;
  /** Ends it. */
  signal?: AbortSignal | undefined;
  /** Told what takes time. */
  onEvent?: ((event: LoadModelEvent) => void) | undefined;
}

/** A model whose blocks are in the store. */
export interface LoadedModel {
  /** The list of its blocks. */
  manifest: Manifest;
  /** Where its files came from. */
  files: PulledFiles;
  /** How it is to be sampled from, where its makers say so. */
  sampling: SamplingDefaults;
  /** Its tokenizer and chat template. */
  tokenizer: Tokenizer;
}

/**
 * Makes sure that the blocks of a model are in the store.
 * @param name a path, `owner/name[:file or dtype]`, or undefined for the default model.
 * @throws {MdiError} model_missing, model_corrupt, model_unsupported, disk, cancelled
 */
export async function loadModel(
  name: string | undefined,
  options: LoadModelOptions,
): Promise<LoadedModel> {
  const { store, pin, signal, onEvent = () => {} } = options;
  const files = await fetchModel(name, options);
  const manifest = await importInWorker(files.path, {
    store,
    pin,
    dtype: dtypeOf(files, options),
    tokenizerDir: options.tokenizerDir,
    // A name from the hub says more than the name of its file.
    name: files.source === "path" ? undefined : files.name,
    signal,
    onProgress: ({ block, done, total }) =>
      onEvent({ type: "import", message: `cutting ${block}`, done, total }),
  });
  const text = await store.text(manifest.textHash);
  return { manifest, files, sampling: text.sampling, tokenizer: createTokenizer(text) };
}

/**
 * Opens the files of a model.
 * @throws {MdiError} model_missing, model_corrupt, model_unsupported
 * @throws {RangeError} where the dtype is none.
 */
export async function openFiles(
  files: PulledFiles,
  options: Pick<LoadModelOptions, "dtype" | "tokenizerDir" | "signal">,
): Promise<ModelSource> {
  const { openModel } = await import("./model/open.ts"); // what a starter needs of it, its worker loads
  return await openModel(files.path, {
    dtype: dtypeOf(files, options),
    tokenizerDir: options.tokenizerDir,
    signal: options.signal,
  });
}

function dtypeOf(
  files: PulledFiles,
  options: Pick<LoadModelOptions, "dtype">,
): OnnxDtype | undefined {
  return checkDtype(options.dtype) ?? files.dtype ?? undefined;
}

/**
 * Makes sure that a model's files are on this device.
 * @throws {MdiError} model_missing, model_corrupt, disk, cancelled
 */
export async function fetchModel(
  name: string | undefined,
  options: LoadModelOptions,
): Promise<PulledFiles> {
  const { store, pin, memoryBytes, signal, onEvent = () => {} } = options;
  const dtype = checkDtype(options.dtype);
  return await pullFiles(name, {
    store,
    pin,
    dtype,
    memoryBytes,
    signal,
    onProgress(event) {
      switch (event.type) {
        case "try":
          return onEvent({ type: "note", message: `trying ${event.where}` });
        case "failed":
          return onEvent({ type: "note", message: `not there: ${event.reason}` });
        case "license":
          return onEvent({
            type: "note",
            message: `the model's licence: ${event.license ?? "not stated by its publisher"}`,
          });
        case "progress":
          return onEvent({
            type: "pull",
            message: `fetching ${event.file}`,
            done: event.received,
            total: event.total,
          });
      }
    },
  });
}

function checkDtype(name: string | undefined): OnnxDtype | undefined {
  const dtype = DTYPE_ORDER.find((each) => each === name);
  if (name === undefined || dtype !== undefined) return dtype;
  throw new RangeError(`Cannot use the dtype "${name}": there are ${DTYPE_ORDER.join(", ")}`);
}

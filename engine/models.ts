/** Models for programs: bring one to this device, or see what it is. */
import { cancellable } from "./cancellable.ts";
import { fetchModel, loadModel, type LoadModelEvent, openFiles } from "./load_model.ts";
import { describeModel, type ModelDescription } from "./model/inspect.ts";
import { defaultHome } from "./store/layout.ts";
import { openStore, type Store } from "./store/store.ts";

/** Which model, and where it is kept. */
export interface ModelOptions {
  /** Which file of an ONNX export: fp32, fp16, q8, q4, q4f16. */
  dtype?: string;
  /** Directory of the tokenizer files, where the model's own has none. */
  tokenizer?: string;
  /**
   * The store and state directory.
   *
   * @default {$MDI_HOME, else ~/.cache/mdi}
   */
  home?: string;
  /** Told what takes time. */
  onEvent?: (event: LoadModelEvent) => void;
  /** Ends it. */
  signal?: AbortSignal;
}

/** A model that is on this device and cut into blocks. */
export interface PulledModel {
  /** Its name for people. */
  name: string;
  /** Licence as the model states it; null where it does not. */
  license: string | null;
  /** Bytes that came over the network this time. */
  downloadedBytes: number;
  /** Bytes of its blocks in the store. */
  blockBytes: number;
}

/**
 * Brings a model to this device and cuts it, so that later starts need no network.
 * @param model a path, owner/name[:file or dtype] on the hub, or undefined for the default model.
 * @throws {MdiError} model_missing, model_corrupt, model_unsupported, disk, cancelled
 */
export async function pullModel(model?: string, options: ModelOptions = {}): Promise<PulledModel> {
  const { manifest, files } = await cancellable("pull the model", options.signal, async () => {
    const store = await openModelStore(options);
    await using pin = await store.pin();
    return await loadModel(model, { ...loadOptions(options), store, pin });
  });
  return {
    name: manifest.name,
    license: manifest.license ?? files.license,
    downloadedBytes: files.downloadedBytes,
    blockBytes: manifest.blocks.reduce((sum, block) => sum + block.bytes, 0),
  };
}

/**
 * Says what a model is; it is fetched where it is not on this device, and not cut.
 * @param model as for {@linkcode pullModel}.
 * @throws {MdiError} model_missing, model_corrupt, model_unsupported, disk, cancelled
 */
export async function inspectModel(
  model?: string,
  options: ModelOptions = {},
): Promise<ModelDescription> {
  return await cancellable("inspect the model", options.signal, async () => {
    const store = await openModelStore(options);
    const files = await fetchModel(model, { ...loadOptions(options), store });
    await using source = await openFiles(files, loadOptions(options));
    return await describeModel(source);
  });
}

function openModelStore({ home = defaultHome(), onEvent }: ModelOptions): Promise<Store> {
  return openStore(home, { onNote: (message) => onEvent?.({ type: "note", message }) });
}

function loadOptions(options: ModelOptions) {
  const { dtype, tokenizer: tokenizerDir, signal, onEvent } = options;
  return { dtype, tokenizerDir, signal, onEvent };
}

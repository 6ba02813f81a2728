/** Fetches the files of a model from the hub. */
import { join } from "node:path";
import { hashFile, sha256Of } from "../store/digest.ts";
import { removeIfThere, statOf, writeAtomically } from "../store/disk.ts";
import { checkIntegrity } from "../store/integrity.ts";
import { type PulledFile, writePulled } from "../store/records.ts";
import type { Store } from "../store/store.ts";
import { MdiError } from "../../wasm/error.ts";
import { chooseFiles } from "./choose_files.ts";
import { download } from "./download.ts";
import { type HubFile, hubFileUrl, hubInfo } from "./hub.ts";
import type { HubSettings } from "./hub_settings.ts";
import { requireMemory } from "./preconditions.ts";
import type { PulledFiles, PullOptions } from "./pull.ts";

/** Name of the file that says which commit a directory's files are of. */
const REVISION_FILE = "revision";

/** What is asked for. */
export interface HubModel {
  /** As the person named it. */
  label: string;
  /** Directory in `models/`. */
  dir: string;
  /** As `owner/name`. */
  repo: string;
  /** A file or a type; see {@linkcode chooseFiles}. */
  selection: string | undefined;
}

/**
 * Fetches a model's files, the largest last.
 * @throws {MdiError} model_missing, model_corrupt, model_unsupported, disk.
 */
export async function pullHub(
  model: HubModel,
  hub: HubSettings,
  options: PullOptions,
): Promise<PulledFiles> {
  const { label, dir, repo } = model;
  const { store, onProgress } = options;
  const { layout } = store;
  onProgress?.({ type: "try", source: "hub", where: `${hub.endpoint}/${repo}` });
  const info = await hubInfo(repo, "main", hub, options);
  const { files, entry, dtype } = chooseFiles(repo, info.files, model.selection);
  onProgress?.({ type: "license", license: info.license });

  const root = join(layout.models, dir);
  await enterRevision(root, info.revision, layout.tmp);
  const total = files.reduce((sum, file) => sum + file.bytes, 0);
  const todo: HubFile[] = [];
  for (const file of files) {
    if (!await isThere(store, join(root, file.path), file, options.signal)) todo.push(file);
  }
  todo.sort((a, b) => a.bytes - b.bytes);
  const needed = todo.reduce((sum, file) => sum + file.bytes, 0);
  requireMemory(label, total, options.memoryBytes);
  await store.ensureRoom(needed, label);

  let there = total - needed;
  let downloadedBytes = 0;
  for (const file of todo) {
    const destination = join(root, file.path);
    await Deno.mkdir(join(destination, ".."), { recursive: true });
    const url = hubFileUrl(repo, info.revision, file.path, hub);
    const { path, bytes, digest } = file;
    downloadedBytes += await download({ name: path, url, layout, destination, bytes, digest }, {
      ...options,
      token: hub.token,
      onProgress: (received) =>
        onProgress?.({ type: "progress", file: path, received: there + received, total }),
    });
    there += bytes;
  }
  await writePulled(layout, dir, {
    name: label,
    license: info.license,
    source: `${hub.endpoint}/${repo}/tree/${info.revision}`,
    dtype,
    entry,
    files: await Promise.all(files.map((file) => recordOf(root, file))),
  });
  const path = join(root, entry);
  return { path, name: label, license: info.license, source: "hub", dtype, downloadedBytes };
}

/** Whether a file is there: whole, and right as far as the hub says what it must be. */
async function isThere(
  { layout }: Store,
  path: string,
  { bytes, digest }: HubFile,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if ((await statOf(path))?.size !== bytes) return false;
  return digest === undefined || await checkIntegrity(layout, path, digest, signal);
}

/** A file that was fetched; of one that the hub gives no hash of, what came is what is right. */
async function recordOf(root: string, { path, bytes, digest }: HubFile): Promise<PulledFile> {
  if (digest) return { path, bytes, digest };
  const hex = await hashFile(join(root, path));
  if (hex === undefined) throw new MdiError("disk", `Cannot read ${path} in ${root}: it is gone`);
  return { path, bytes, digest: sha256Of(hex) };
}

/** Empties a directory that an interrupted pull filled from another commit. */
async function enterRevision(root: string, revision: string, tmp: string): Promise<void> {
  const marker = join(root, REVISION_FILE);
  if (await statOf(marker) && await Deno.readTextFile(marker) === revision) return;
  await removeIfThere(root);
  await Deno.mkdir(root, { recursive: true });
  await writeAtomically(marker, revision, tmp);
}

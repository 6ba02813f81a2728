/** Fetches the files of a model from the hub. */
import { join } from "node:path";
import { removeIfThere, statOf, writeAtomically } from "../store/disk.ts";
import { writePulled } from "../store/records.ts";
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
  onProgress?.({ type: "try", source: "hub", where: `${hub.endpoint}/${repo}` });
  const info = await hubInfo(repo, "main", hub, options);
  const { files, entry, dtype } = chooseFiles(repo, info.files, model.selection);
  onProgress?.({ type: "license", license: info.license });

  const root = join(store.layout.models, dir);
  await enterRevision(root, info.revision, store.layout.tmp);
  const total = files.reduce((sum, file) => sum + file.bytes, 0);
  const todo: HubFile[] = [];
  for (const file of files) {
    if ((await statOf(join(root, file.path)))?.size !== file.bytes) todo.push(file);
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
    downloadedBytes += await download({ name: path, url, destination, bytes, digest }, {
      ...options,
      token: hub.token,
      onProgress: (received) =>
        onProgress?.({ type: "progress", file: path, received: there + received, total }),
    });
    there += bytes;
  }
  await writePulled(store.layout, dir, {
    name: label,
    license: info.license,
    source: `${hub.endpoint}/${repo}/tree/${info.revision}`,
    dtype,
    entry,
    files: files.map(({ path, bytes }) => ({ path, bytes })),
  });
  const path = join(root, entry);
  return { path, name: label, license: info.license, source: "hub", dtype, downloadedBytes };
}

/** Empties a directory that an interrupted pull filled from another commit. */
async function enterRevision(root: string, revision: string, tmp: string): Promise<void> {
  const marker = join(root, REVISION_FILE);
  if (await statOf(marker) && await Deno.readTextFile(marker) === revision) return;
  await removeIfThere(root);
  await Deno.mkdir(root, { recursive: true });
  await writeAtomically(marker, revision, tmp);
}

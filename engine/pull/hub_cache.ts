/** Models that Hugging Face's own tools have fetched before: `models--OWNER--NAME/snapshots/COMMIT/`. */
import { join } from "node:path";
import { namesIn, statOf } from "../store/disk.ts";
import type { RepoFile } from "./choose_files.ts";

/** Folders inside a snapshot that are looked into. */
const MAX_DEPTH = 4;

/** A revision of a repository in the cache. */
export interface Snapshot {
  /** Its directory. */
  path: string;
  /** All files in it; links count as what they point to. */
  files: RepoFile[];
}

/** The snapshot that the cache has of a branch or commit; undefined where it has none. */
export async function cachedSnapshot(
  cache: string | undefined,
  repo: string,
  revision: string,
): Promise<Snapshot | undefined> {
  if (cache === undefined) return undefined;
  const folder = join(cache, `models--${repo.replaceAll("/", "--")}`);
  const commit = await readRef(join(folder, "refs", revision)) ?? revision;
  const path = join(folder, "snapshots", commit);
  try {
    const files = await filesIn(path, "", 0);
    return files.length > 0 ? { path, files } : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied) return undefined;
    throw error;
  }
}

async function readRef(path: string): Promise<string | undefined> {
  try {
    const commit = (await Deno.readTextFile(path)).trim();
    return /^[0-9a-f]{7,64}$/.test(commit) ? commit : undefined;
  } catch {
    return undefined;
  }
}

async function filesIn(root: string, folder: string, depth: number): Promise<RepoFile[]> {
  const files: RepoFile[] = [];
  for (const name of await namesIn(join(root, folder))) {
    const path = folder === "" ? name : `${folder}/${name}`;
    const info = await statOf(join(root, path));
    if (info?.isFile) files.push({ path, bytes: info.size });
    if (info?.isDirectory && depth < MAX_DEPTH) files.push(...await filesIn(root, path, depth + 1));
  }
  return files;
}

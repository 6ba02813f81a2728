/** Whether all that a store holds still is what it should be: `mdi store verify`. */
import { join } from "node:path";
import { isPackedName } from "../../wasm/simd/packed_name.ts";
import { type Digest, sha256Of } from "./digest.ts";
import { namesIn, onDisk, removeIfThere } from "./disk.ts";
import { rehash, rehashPacked } from "./integrity.ts";
import { blockPath, type StoreLayout } from "./layout.ts";
import { withStoreLock } from "./lock.ts";
import { manifestIds, manifestPath, readManifest, readPulled } from "./records.ts";
import { blockOf, hashesOf, packedFiles, storedBlocks, sweepPacked } from "./usage.ts";

/** How far {@linkcode verifyStore} is. */
export interface VerifyProgress {
  /** Bytes hashed so far. */
  checkedBytes: number;
  /** Bytes to be hashed. */
  totalBytes: number;
}

/** A damaged file that {@linkcode verifyStore} removed. */
export interface DamagedFile {
  /** Where it lies. */
  path: string;
  /** What is wrong with it. */
  reason: string;
  /** Names of the models that need it; they get it again when they are used. */
  models: string[];
}

/** What {@linkcode verifyStore} found. */
export interface VerifyReport {
  /** Number of files that were checked. */
  files: number;
  /** Their bytes on the disk. */
  bytes: number;
  /** What was removed. */
  damaged: DamagedFile[];
}

/** How {@linkcode verifyStore} goes about it. */
export interface VerifyOptions {
  /** Ends it. */
  signal?: AbortSignal | undefined;
  /** Told how far it is. */
  onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

/** A file whose hash is known. */
interface KnownFile {
  path: string;
  bytes: number;
  /** What it must hash to; null for a packed file, which says so itself. */
  digest: Digest | null;
  /** Names of the models that need it. */
  models: string[];
}

/**
 * Hashes every block, packed file and pulled file again. Damaged files are removed, so that they are cut,
 * packed or fetched again; so is what interrupted packing left.
 * @throws {MdiError} disk
 */
export async function verifyStore(
  layout: StoreLayout,
  options: VerifyOptions = {},
): Promise<VerifyReport> {
  const { signal, onProgress } = options;
  return await onDisk("verify the store", layout.root, async () => {
    const ids = await manifestIds(layout);
    const damaged = await removeDamagedManifests(layout, ids);
    await sweepPacked(layout);
    const files = [...await blockFiles(layout), ...await pulledFiles(layout)];
    const totalBytes = files.reduce((sum, { bytes }) => sum + bytes, 0);
    let checkedBytes = 0;
    const onBytes = (bytes: number) => {
      checkedBytes += bytes;
      onProgress?.({ checkedBytes, totalBytes });
    };
    for (const { path, digest, models } of files) {
      const hashes = digest
        ? await rehash(layout, path, digest, { signal, onBytes })
        : await rehashPacked(layout, path, { signal, onBytes });
      if (hashes === undefined || hashes.actual === hashes.expected) continue;
      const { algorithm } = digest ?? { algorithm: "sha256" };
      damaged.push({ path, reason: `its ${algorithm} is ${hashes.actual}`, models });
    }
    return { files: ids.length + files.length, bytes: totalBytes, damaged };
  });
}

async function removeDamagedManifests(
  layout: StoreLayout,
  ids: readonly string[],
): Promise<DamagedFile[]> {
  const damaged: DamagedFile[] = [];
  for (const id of ids) {
    if (await readManifest(layout, id)) continue;
    const path = manifestPath(layout, id);
    await withStoreLock(layout, () => removeIfThere(path));
    damaged.push({ path, reason: "it is not a manifest of that hash", models: [] });
  }
  return damaged;
}

/** Blocks and what is derived from them. */
async function blockFiles(layout: StoreLayout): Promise<KnownFile[]> {
  const models = new Map<string, string[]>();
  for (const id of await manifestIds(layout)) {
    const manifest = await readManifest(layout, id);
    if (manifest === undefined) continue;
    for (const hash of new Set(hashesOf(manifest))) {
      models.set(hash, [...(models.get(hash) ?? []), manifest.name]);
    }
  }
  const blocks = [...await storedBlocks(layout)].map(([hash, bytes]) => ({
    path: blockPath(layout, hash),
    bytes,
    digest: sha256Of(hash),
    models: models.get(hash) ?? [],
  }));
  const packed = [...await packedFiles(layout)]
    .filter(([name]) => isPackedName(name))
    .map(([name, bytes]) => ({
      path: join(layout.packed, name),
      bytes,
      digest: null,
      models: models.get(blockOf(name)) ?? [],
    }));
  return [...blocks, ...packed];
}

async function pulledFiles(layout: StoreLayout): Promise<KnownFile[]> {
  const found: KnownFile[] = [];
  for (const dir of await namesIn(layout.models)) {
    const record = await readPulled(layout, dir);
    for (const { path, bytes, digest } of record?.files ?? []) {
      found.push({ path: join(layout.models, dir, path), bytes, digest, models: [record!.name] });
    }
  }
  return found;
}

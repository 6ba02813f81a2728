/** What `mdi store list` and `mdi store verify` say. */
import { join } from "node:path";
import type { ModelKind } from "../model/types.ts";
import { freeBytes, onDisk, removeIfThere } from "./disk.ts";
import { hashFile } from "./integrity.ts";
import type { StoreLayout } from "./layout.ts";
import { withLock } from "./lock.ts";
import { manifestIds, manifestPath, readManifest } from "./records.ts";
import { hashesOf, pulledPin, storedBlocks, type Usage, usageOf } from "./usage.ts";

/** A model of which blocks are stored. */
export interface StoredModel {
  /** What people call it. */
  name: string;
  /** Its manifest's id. */
  id: string;
  /** What it was cut from. */
  source: ModelKind;
  /** Null where it is not known. */
  license: string | null;
  /** How many of its blocks are here, and how many it has. */
  blocks: { present: number; total: number };
  /** Bytes of the blocks that are here. */
  bytes: number;
  /** Of these, bytes that other models have too. */
  sharedBytes: number;
  /** When it was opened last. */
  lastUsed: Date;
  /** Whether a living process uses it. */
  inUse: boolean;
}

/** Files that were pulled. */
export interface PulledModel {
  /** What people call it. */
  name: string;
  /** Where it lies. */
  path: string;
  /** Whether all of them are here; otherwise the next pull goes on. */
  complete: boolean;
  /** Null where it is not known. */
  license: string | null;
  /** Bytes on the disk. */
  bytes: number;
  /** When it was opened last. */
  lastUsed: Date;
  /** Whether a living process uses it. */
  inUse: boolean;
}

/** What a store holds. */
export interface StoreList {
  /** Where it lies. */
  path: string;
  /** Models cut into blocks, last used first. */
  models: StoredModel[];
  /** Models pulled, last used first. */
  pulled: PulledModel[];
  /** Bytes of all blocks and pulled files. */
  bytes: number;
  /** Bytes of blocks that no model refers to. */
  orphanBytes: number;
  /** Free bytes of the disk; null where the system does not say. */
  freeBytes: number | null;
}

/** Lists what a store holds, last used first. */
export async function listStore(layout: StoreLayout): Promise<StoreList> {
  return await onDisk("list the store", layout.root, async () => {
    const usage = await withLock(layout.lock, () => usageOf(layout));
    const users = new Map<string, number>();
    for (const { manifest } of usage.manifests.values()) {
      for (const hash of new Set(hashesOf(manifest))) users.set(hash, (users.get(hash) ?? 0) + 1);
    }
    const newest = (a: { lastUsed: Date }, b: { lastUsed: Date }) =>
      b.lastUsed.getTime() - a.lastUsed.getTime();
    const pulled = [...usage.pulled].map(([dir, { record, bytes, lastUsed }]) => ({
      name: record?.name ?? dir,
      path: join(layout.models, dir),
      complete: record !== undefined,
      license: record?.license ?? null,
      bytes,
      lastUsed,
      inUse: usage.pinned.has(pulledPin(dir)),
    }));
    const sum = (values: Iterable<number>) => [...values].reduce((a, b) => a + b, 0);
    const orphans = [...usage.blocks].filter(([hash]) => !users.has(hash));
    return {
      path: layout.root,
      models: [...usage.manifests.keys()].map((id) => storedModel(usage, id, users)).sort(newest),
      pulled: pulled.sort(newest),
      bytes: sum(usage.blocks.values()) + sum(pulled.map((each) => each.bytes)),
      orphanBytes: sum(orphans.map(([, bytes]) => bytes)),
      freeBytes: await freeBytes(layout.root),
    };
  });
}

function storedModel(usage: Usage, id: string, users: Map<string, number>): StoredModel {
  const { manifest, lastUsed } = usage.manifests.get(id)!;
  let bytes = 0;
  let sharedBytes = 0;
  for (const hash of new Set(hashesOf(manifest))) {
    const size = usage.blocks.get(hash) ?? 0;
    bytes += size;
    if (users.get(hash)! > 1) sharedBytes += size;
  }
  return {
    name: manifest.name,
    id,
    source: manifest.source,
    license: manifest.license,
    blocks: {
      present: manifest.blocks.filter((block) => usage.blocks.has(block.hash)).length,
      total: manifest.blocks.length,
    },
    bytes,
    sharedBytes,
    lastUsed,
    inUse: usage.pinned.has(id),
  };
}

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
  /** Bytes on the disk. */
  bytes: number;
  /** What was removed. */
  damaged: DamagedFile[];
}

/** Hashes every block again. Damaged files are removed, so that they are cut or fetched again. */
export async function verifyStore(
  layout: StoreLayout,
  options: {
    signal?: AbortSignal | undefined;
    onProgress?: ((progress: VerifyProgress) => void) | undefined;
  } = {},
): Promise<VerifyReport> {
  return await onDisk("verify the store", layout.root, async () => {
    const damaged: DamagedFile[] = [];
    const remove = async (path: string, reason: string, models: string[]) => {
      await withLock(layout.lock, () => removeIfThere(path));
      damaged.push({ path, reason, models });
    };
    const ids = await manifestIds(layout);
    const needs = new Map<string, string[]>();
    for (const id of ids) {
      const manifest = await readManifest(layout, id);
      if (manifest === undefined) {
        await remove(manifestPath(layout, id), "it is not a manifest of that hash", []);
        continue;
      }
      for (const hash of new Set(hashesOf(manifest))) {
        needs.set(hash, [...(needs.get(hash) ?? []), manifest.name]);
      }
    }
    const blocks = await storedBlocks(layout);
    const totalBytes = [...blocks.values()].reduce((a, b) => a + b, 0);
    let checkedBytes = 0;
    for (const hash of blocks.keys()) {
      const path = join(layout.blocks, hash.slice(0, 2), hash);
      const actual = await hashFile(path, options.signal, (bytes) => {
        checkedBytes += bytes;
        options.onProgress?.({ checkedBytes, totalBytes });
      });
      if (actual === undefined || actual === hash) continue;
      await remove(path, `its sha256 is ${actual}`, needs.get(hash) ?? []);
    }
    return { files: ids.length + blocks.size, bytes: totalBytes, damaged };
  });
}

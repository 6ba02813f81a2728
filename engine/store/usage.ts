/** How much of a disk a store takes, and by what. */
import { join } from "node:path";
import { isForeignPackedName, isUnfinishedName } from "../../wasm/simd/packed_name.ts";
import type { Manifest } from "../model/types.ts";
import { namesIn, removeIfThere, statOf } from "./disk.ts";
import { isHash, type StoreLayout } from "./layout.ts";
import { tryLock } from "./lock.ts";
import { pinned } from "./pin.ts";
import {
  type ImportRecord,
  imports,
  manifestIds,
  manifestPath,
  pulledPath,
  type PulledRecord,
  readManifest,
  readPulled,
} from "./records.ts";

const HOUR_MS = 3_600_000;
/** A partial file that could be resumed is kept this long. */
const RESUME_MS = 7 * 24 * HOUR_MS;

/** A directory of `models/`. */
export interface PulledUsage {
  /** Undefined where the files are not whole. */
  record: PulledRecord | undefined;
  /** Bytes of all that lies in it. */
  bytes: number;
  /** When it was pulled or found last. */
  lastUsed: Date;
}

/** All that a store holds at one moment. */
export interface Usage {
  /** Bytes of each block and text asset, by hash. */
  blocks: Map<string, number>;
  /** Bytes of each file that is derived from a block, by its name, which begins with the block's hash. */
  packed: Map<string, number>;
  /** By id. */
  manifests: Map<string, { manifest: Manifest; lastUsed: Date }>;
  /** By import key. */
  imports: Map<string, ImportRecord>;
  /** By the directory's name. */
  pulled: Map<string, PulledUsage>;
  /** What living processes use. */
  pinned: Set<string>;
}

/** The key that pins a directory of `models/`. */
export function pulledPin(dir: string): string {
  return `models/${dir}`;
}

/** All hashes that a manifest refers to. */
export function hashesOf(manifest: Manifest): string[] {
  return [...manifest.blocks.map((block) => block.hash), manifest.textHash];
}

/** Looks at all that a store holds. The caller holds the store's lock where it acts on the answer. */
export async function usageOf(layout: StoreLayout): Promise<Usage> {
  const manifests: Usage["manifests"] = new Map();
  for (const id of await manifestIds(layout)) {
    const manifest = await readManifest(layout, id);
    const lastUsed = (await statOf(manifestPath(layout, id)))?.mtime ?? new Date(0);
    if (manifest) manifests.set(id, { manifest, lastUsed });
  }
  const pulled: Usage["pulled"] = new Map();
  for (const dir of await namesIn(layout.models)) {
    const info = await statOf(pulledPath(layout, dir)) ?? await statOf(join(layout.models, dir));
    pulled.set(dir, {
      record: await readPulled(layout, dir),
      bytes: await treeBytes(join(layout.models, dir)),
      lastUsed: info?.mtime ?? new Date(0),
    });
  }
  return {
    blocks: await storedBlocks(layout),
    packed: await packedFiles(layout),
    manifests,
    imports: await imports(layout),
    pulled,
    pinned: await pinned(layout),
  };
}

/** Sizes in bytes of all content-addressed files, by hash. */
export async function storedBlocks(layout: StoreLayout): Promise<Map<string, number>> {
  const blocks = new Map<string, number>();
  for (const prefix of await namesIn(layout.blocks)) {
    for (const name of await namesIn(join(layout.blocks, prefix))) {
      const info = isHash(name) ? await statOf(join(layout.blocks, prefix, name)) : undefined;
      if (info?.isFile) blocks.set(name, info.size);
    }
  }
  return blocks;
}

/** Sizes in bytes of all that is derived from blocks, by name. */
export async function packedFiles(layout: StoreLayout): Promise<Map<string, number>> {
  const files = new Map<string, number>();
  for (const name of await namesIn(layout.packed)) {
    if (!isHash(blockOf(name))) continue;
    files.set(name, await treeBytes(join(layout.packed, name)));
  }
  return files;
}

/** The hash of the block that a file of `packed/` is derived from. */
export function blockOf(packed: string): string {
  return packed.slice(0, 64);
}

/** Bytes that blocks, what is derived from them, and pulled files take. */
export async function storedBytes(layout: StoreLayout): Promise<number> {
  let bytes = 0;
  for (const each of [layout.blocks, layout.packed, layout.models]) bytes += await treeBytes(each);
  return bytes;
}

async function treeBytes(path: string): Promise<number> {
  const info = await statOf(path);
  if (info === undefined) return 0;
  if (!info.isDirectory) return info.size;
  let bytes = 0;
  for (const name of await namesIn(path)) bytes += await treeBytes(join(path, name));
  return bytes;
}

/**
 * Removes from `packed/` what other versions of mdi packed, and what processes left that ended while they
 * wrote; who still writes changes the time.
 */
export async function sweepPacked(layout: StoreLayout): Promise<void> {
  for (const name of await namesIn(layout.packed)) {
    const foreign = isForeignPackedName(name);
    if (!foreign && !isUnfinishedName(name)) continue;
    const path = join(layout.packed, name);
    const info = await statOf(path);
    if (foreign) await removeIfThere(path);
    else if (info?.mtime && Date.now() - info.mtime.getTime() > HOUR_MS) await removeIfThere(path);
  }
}

/** Removes what processes left in `tmp/` that ended without tidying. */
export async function sweepTmp(layout: StoreLayout): Promise<void> {
  for (const name of await namesIn(layout.tmp)) {
    const path = join(layout.tmp, name);
    const info = await statOf(path);
    const keepMs = isHash(name.replace(/\.part$/, "")) ? RESUME_MS : 24 * HOUR_MS;
    if (!info?.mtime || Date.now() - info.mtime.getTime() < keepMs) continue;
    const lock = info.isFile ? await tryLock(path) : undefined;
    if (info.isFile && lock === undefined) continue;
    await removeIfThere(path);
    lock?.close();
  }
}

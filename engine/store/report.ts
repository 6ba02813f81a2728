/** What `mdi store list` says. */
import { join } from "node:path";
import type { ModelKind } from "../model/types.ts";
import { freeBytes, onDisk } from "./disk.ts";
import type { StoreLayout } from "./layout.ts";
import { withStoreLock } from "./lock.ts";
import { hashesOf, pulledPin, type Usage, usageOf } from "./usage.ts";

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
export interface PulledEntry {
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
  pulled: PulledEntry[];
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
    const usage = await withStoreLock(layout, () => usageOf(layout));
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
      bytes: sum(usage.blocks.values()) + sum(usage.packed.values()) +
        sum(pulled.map((each) => each.bytes)),
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

/** Frees space in a store: by name, or the models that were used longest ago. */
import { join, sep } from "node:path";
import { MdiError } from "../../wasm/error.ts";
import { isForeignPackedName } from "../../wasm/simd/packed_name.ts";
import { onDisk, removeIfThere } from "./disk.ts";
import { blockPath, type StoreLayout } from "./layout.ts";
import { withStoreLock } from "./lock.ts";
import { importPath, manifestPath } from "./records.ts";
import { blockOf, hashesOf, pulledPin, type Usage, usageOf } from "./usage.ts";

/** What was removed. */
export interface Removal {
  /** Names of the models. */
  models: string[];
  /** Bytes freed. */
  bytes: number;
}

/**
 * Removes a model: its manifest, the blocks that no other model has, and the files that were pulled for it.
 * @param name a model's name as {@linkcode listStore} gives it, or at least six digits of its id.
 * @throws {MdiError} model_missing where there is no such model, busy where a process uses it.
 */
export async function removeModel(layout: StoreLayout, name: string): Promise<Removal> {
  return await onDisk(`remove ${name}`, layout.root, () =>
    withStoreLock(layout, async () => {
      const usage = await usageOf(layout);
      const { ids, dirs } = select(layout, usage, name);
      if (ids.length + dirs.length === 0) {
        throw new MdiError(
          "model_missing",
          `Cannot remove ${name}: the store has no such model; "mdi store list" shows what it has`,
        );
      }
      if ([...ids, ...dirs.map(pulledPin)].some((key) => usage.pinned.has(key))) {
        throw new MdiError(
          "busy",
          `Cannot remove ${name}: an mdi process is using it; end it first`,
        );
      }
      const names = new Set(ids.map((id) => usage.manifests.get(id)!.manifest.name));
      for (const dir of dirs) names.add(usage.pulled.get(dir)!.record?.name ?? dir);
      let bytes = 0;
      for (const dir of dirs) bytes += await removePulled(layout, usage, dir);
      for (const id of ids) await removeManifest(layout, usage, id);
      bytes += await removeOrphans(layout, usage);
      return { models: [...names], bytes };
    }));
}

/** Frees at least so many bytes where that can be, of what no process uses, oldest use first. */
export async function evict(layout: StoreLayout, bytes: number): Promise<Removal> {
  return await onDisk("free space", layout.root, () =>
    withStoreLock(layout, async () => {
      const usage = await usageOf(layout);
      const models: string[] = [];
      let freed = await removeOrphans(layout, usage);
      for (const { name, remove } of byLastUse(layout, usage)) {
        if (freed >= bytes) break;
        freed += await remove();
        if (!models.includes(name)) models.push(name);
      }
      return { models, bytes: freed };
    }));
}

interface Candidate {
  name: string;
  lastUsed: Date;
  remove(): Promise<number>;
}

function byLastUse(layout: StoreLayout, usage: Usage): Candidate[] {
  const candidates: Candidate[] = [];
  for (const [id, { manifest, lastUsed }] of usage.manifests) {
    if (usage.pinned.has(id)) continue;
    const remove = async () => {
      await removeManifest(layout, usage, id);
      return await removeOrphans(layout, usage);
    };
    candidates.push({ name: manifest.name, lastUsed, remove });
  }
  for (const [dir, { record, lastUsed }] of usage.pulled) {
    if (usage.pinned.has(pulledPin(dir))) continue;
    const remove = () => removePulled(layout, usage, dir);
    candidates.push({ name: record?.name ?? dir, lastUsed, remove });
  }
  return candidates.sort((a, b) => a.lastUsed.getTime() - b.lastUsed.getTime());
}

/** What a name means: manifests, and directories of `models/`. */
function select(
  layout: StoreLayout,
  usage: Usage,
  name: string,
): { ids: string[]; dirs: string[] } {
  const dirOf = (path: string) =>
    path.startsWith(layout.models + sep)
      ? path.slice(layout.models.length + 1).split(sep)[0]
      : undefined;
  const isId = /^[0-9a-f]{6,64}$/.test(name);
  const ids = new Set<string>();
  for (const [id, { manifest }] of usage.manifests) {
    if (manifest.name === name || (isId && id.startsWith(name))) ids.add(id);
  }
  const dirs = new Set<string>();
  for (const [dir, { record }] of usage.pulled) {
    if (dir === name || record?.name === name) dirs.add(dir);
  }
  const links = [...usage.imports.values()]
    .map(({ manifest, files }) => ({
      manifest,
      dirs: files.map(dirOf).filter((d) => d !== undefined),
    }));
  for (const link of links) {
    if (link.dirs.some((dir) => dirs.has(dir)) && usage.manifests.has(link.manifest)) {
      ids.add(link.manifest);
    }
  }
  for (const link of links) {
    const shared = (dir: string) =>
      links.some((other) => !ids.has(other.manifest) && other.dirs.includes(dir));
    if (!ids.has(link.manifest)) continue;
    for (const dir of link.dirs) if (usage.pulled.has(dir) && !shared(dir)) dirs.add(dir);
  }
  return { ids: [...ids], dirs: [...dirs] };
}

async function removeManifest(layout: StoreLayout, usage: Usage, id: string): Promise<void> {
  for (const [key, { manifest }] of usage.imports) {
    if (manifest !== id) continue;
    await removeIfThere(importPath(layout, key));
    usage.imports.delete(key);
  }
  await removeIfThere(manifestPath(layout, id));
  usage.manifests.delete(id);
}

async function removePulled(layout: StoreLayout, usage: Usage, dir: string): Promise<number> {
  const bytes = usage.pulled.get(dir)?.bytes ?? 0;
  await removeIfThere(join(layout.models, dir));
  usage.pulled.delete(dir);
  return bytes;
}

/**
 * Removes the blocks that no manifest refers to and no process uses, what was derived from them, and what
 * other versions of mdi packed.
 */
async function removeOrphans(layout: StoreLayout, usage: Usage): Promise<number> {
  const needed = new Set(usage.pinned);
  for (const { manifest } of usage.manifests.values()) {
    for (const hash of hashesOf(manifest)) needed.add(hash);
  }
  let freed = 0;
  for (const [hash, bytes] of usage.blocks) {
    if (needed.has(hash)) continue;
    await removeIfThere(blockPath(layout, hash));
    usage.blocks.delete(hash);
    freed += bytes;
  }
  for (const [name, bytes] of usage.packed) {
    if (usage.blocks.has(blockOf(name)) && !isForeignPackedName(name)) continue;
    await removeIfThere(join(layout.packed, name));
    usage.packed.delete(name);
    freed += bytes;
  }
  return freed;
}

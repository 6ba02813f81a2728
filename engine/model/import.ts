/** Cuts a model into blocks, once. */
import { createHash } from "node:crypto";
import type { Pin } from "../store/pin.ts";
import type { Store } from "../store/store.ts";
import { createTokenizer } from "../text/tokenizer.ts";
import { type BlockLayout, planBlock } from "./block_writer.ts";
import { blockNames, validateManifest } from "./manifest.ts";
import type { BlockEntry, Manifest, ModelSource } from "./types.ts";

/** Raised when the same file is cut into other blocks than before, so that old imports are not reused. */
const IMPORTER_VERSION = 2;

/** How far an import is. */
export interface ImportProgress {
  /** The block at work. */
  block: string;
  /** Blocks done, and how many there are without `shared`. */
  done: number;
  /** Blocks that there are, without `shared`. */
  total: number;
  /** Bytes written so far. */
  bytes: number;
}

/** How {@linkcode importModel} goes about it. */
export interface ImportOptions {
  /** Keeps the blocks and the manifest from being removed by another process. */
  pin?: Pin | undefined;
  /**
   * What people call the model.
   * @default {source.name}
   */
  name?: string | undefined;
  /** Ends the import; what is whole stays. */
  signal?: AbortSignal | undefined;
  /** Called before each block. */
  onProgress?: ((progress: ImportProgress) => void) | undefined;
}

/**
 * Cuts a model into blocks and stores them, its text assets and its manifest. An unchanged model file
 * that was cut before is not read again; where only some blocks are missing, only those are cut.
 * An import that breaks off leaves whole blocks or none, and the next one goes on.
 * @throws {MdiError} model_corrupt or model_unsupported from the source; disk.
 */
export async function importModel(
  source: ModelSource,
  store: Store,
  options: ImportOptions = {},
): Promise<Manifest> {
  const { pin, signal, name = source.name } = options;
  const key = importKey(source, name);
  return await store.exclusively(`import-${key}`, `cuts ${name}`, async () => {
    const known = await knownManifest(store, key, pin);
    const lost = known && await store.missing(known.blocks);
    if (known && lost?.length === 0 && await store.intact(known.textHash)) return known;
    if (!known) {
      // It costs little, and a tokenizer that cannot be used should not cost the cutting of a model.
      createTokenizer(source.text);
      const bytes = source.files.reduce((sum, file) => sum + file.bytes, 0);
      await store.ensureRoom(bytes, `the blocks of ${name}`);
    }
    const present = new Map(
      known?.blocks.filter((block) => !lost?.includes(block)).map((block) => [block.name, block]),
    );
    const manifest = validateManifest({
      version: 1,
      name,
      source: source.kind,
      license: source.license,
      config: source.config,
      kvBytesPerTokenLayer: source.kvBytesPerTokenLayer,
      edges: source.edges,
      blocks: await cut(source, store, present, options),
      textHash: await store.putText(source.text, { pin, signal }),
    });
    const id = await store.putManifest(manifest);
    await pin?.add(id);
    await store.putImport(key, { manifest: id, files: source.files.map(({ path }) => path) });
    return manifest;
  }, { signal });
}

/** The manifest that these very files were cut into before, pinned. */
async function knownManifest(
  store: Store,
  key: string,
  pin: Pin | undefined,
): Promise<Manifest | undefined> {
  const record = await store.importOf(key);
  if (!record) return undefined;
  await pin?.add(record.manifest);
  const manifest = await store.manifest(record.manifest);
  if (manifest) await pin?.add(...manifest.blocks.map((block) => block.hash), manifest.textHash);
  return manifest;
}

/** Writes the blocks that are not `present`. @returns all entries in the source's order. */
async function cut(
  source: ModelSource,
  store: Store,
  present: ReadonlyMap<string, BlockEntry>,
  { pin, signal, onProgress }: ImportOptions,
): Promise<BlockEntry[]> {
  const entries: BlockEntry[] = [];
  const layouts = new Map<string, BlockLayout>();
  const total = blockNames(source.config.layers).length;
  let bytes = 0;
  for await (const recipe of source.blocks()) {
    signal?.throwIfAborted();
    const done = Math.min(entries.length, total);
    onProgress?.({ block: recipe.name, done, total, bytes });
    const plan = planBlock(recipe, layouts);
    layouts.set(recipe.name, plan.layout);
    let entry = present.get(recipe.name);
    if (entry === undefined) {
      const { hash } = await store.putNew(plan.chunks(signal), { bytes: plan.bytes, pin, signal });
      bytes += plan.bytes;
      entry = {
        name: recipe.name,
        hash,
        bytes: plan.bytes,
        parameters: recipe.parameters,
        dtypes: recipe.dtypes,
        requires: plan.requires,
      };
    }
    entries.push(entry);
  }
  return entries;
}

/** Names a model by its files as they lie on the disk: paths, sizes and times of change. */
function importKey(source: ModelSource, name: string): string {
  const files = source.files
    .map(({ path, bytes, mtimeMs }) => [path, bytes, mtimeMs])
    .sort(([a], [b]) => String(a) < String(b) ? -1 : 1);
  return createHash("sha256")
    .update(JSON.stringify([IMPORTER_VERSION, source.kind, name, files]))
    .digest("hex");
}

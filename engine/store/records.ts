/** The small JSON files of a store. What they hold is checked as it is read: another program may have written them. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { MdiError } from "../../wasm/error.ts";
import { MAX_MANIFEST_BYTES, validateManifest } from "../model/manifest.ts";
import { DTYPE_ORDER, type OnnxDtype } from "../model/onnx/model_files.ts";
import type { Manifest } from "../model/types.ts";
import type { Digest } from "./digest.ts";
import { namesIn, statOf, writeAtomically } from "./disk.ts";
import { isHash, type StoreLayout } from "./layout.ts";
import { isSafePath } from "./safe_path.ts";

/** Name of the record in each directory of `models/`. */
const PULLED_FILE = "pulled.json";

/** Which manifest a model file was cut into, and from what. */
export interface ImportRecord {
  /** Id of the manifest. */
  manifest: string;
  /** Paths of the files that were cut. */
  files: string[];
}

/** One file that was fetched. */
export interface PulledFile {
  /** Relative to the record's directory, with "/". */
  path: string;
  /** Its size. */
  bytes: number;
  /** What its bytes hash to. */
  digest: Digest;
}

/** What a directory of `models/` holds. It is written last, so where it exists the files are whole. */
export interface PulledRecord {
  /** The name that it was asked for by. */
  name: string;
  /** As the publisher states it; null where that is not known. */
  license: string | null;
  /** Where the files came from, for people. */
  source: string;
  /** File of an export to take, where the name chose one; as `--dtype`. */
  dtype: OnnxDtype | null;
  /** What to open, relative to the directory: a file, or "" for the directory itself. */
  entry: string;
  /** All files of the model. */
  files: PulledFile[];
}

/** A manifest's id: the sha256 of its JSON. */
export function manifestId(manifest: Manifest): string {
  return createHash("sha256").update(JSON.stringify(manifest)).digest("hex");
}

/** Writes a manifest under its id. */
export async function writeManifest(layout: StoreLayout, manifest: Manifest): Promise<string> {
  const checked = validateManifest(manifest);
  const id = manifestId(checked);
  await writeAtomically(manifestPath(layout, id), JSON.stringify(checked), layout.tmp);
  return id;
}

/** Where a manifest lies. */
export function manifestPath(layout: StoreLayout, id: string): string {
  return join(layout.manifests, `${id}.json`);
}

/** A stored manifest; undefined where there is none or it is damaged. */
export async function readManifest(layout: StoreLayout, id: string): Promise<Manifest | undefined> {
  try {
    const manifest = validateManifest(await readJson(manifestPath(layout, id)));
    return manifestId(manifest) === id ? manifest : undefined;
  } catch (error) {
    if (error instanceof MdiError) return undefined;
    throw error;
  }
}

/** Ids of all stored manifests. */
export async function manifestIds(layout: StoreLayout): Promise<string[]> {
  return (await namesIn(layout.manifests)).map((name) => name.replace(/\.json$/, "")).filter(
    isHash,
  );
}

/** Remembers what a model file was cut into. */
export async function writeImport(
  layout: StoreLayout,
  key: string,
  record: ImportRecord,
): Promise<void> {
  await writeAtomically(importPath(layout, key), JSON.stringify(record), layout.tmp);
}

/** Where an import's record lies. */
export function importPath(layout: StoreLayout, key: string): string {
  return join(layout.imports, `${key}.json`);
}

/** What a model file was cut into; undefined where that is not known. */
export async function readImport(
  layout: StoreLayout,
  key: string,
): Promise<ImportRecord | undefined> {
  const json = asObject(await readJson(importPath(layout, key)));
  if (!isHash(json?.manifest)) return undefined;
  return { manifest: json.manifest, files: stringsOf(json.files) };
}

/** All imports by their keys. */
export async function imports(layout: StoreLayout): Promise<Map<string, ImportRecord>> {
  const found = new Map<string, ImportRecord>();
  for (const name of await namesIn(layout.imports)) {
    const key = name.replace(/\.json$/, "");
    const record = isHash(key) ? await readImport(layout, key) : undefined;
    if (record) found.set(key, record);
  }
  return found;
}

/** Says what the directory `dir` of `models/` holds, once it does. */
export async function writePulled(
  layout: StoreLayout,
  dir: string,
  record: PulledRecord,
): Promise<void> {
  await writeAtomically(pulledPath(layout, dir), JSON.stringify(record, null, 2), layout.tmp);
}

/** Where the record of a directory of `models/` lies. */
export function pulledPath(layout: StoreLayout, dir: string): string {
  return join(layout.models, dir, PULLED_FILE);
}

/** What the directory `dir` of `models/` holds; undefined where it is not whole. */
export async function readPulled(
  layout: StoreLayout,
  dir: string,
): Promise<PulledRecord | undefined> {
  const json = asObject(await readJson(pulledPath(layout, dir)));
  if (json === undefined || typeof json.name !== "string" || !Array.isArray(json.files)) {
    return undefined;
  }
  const files: PulledFile[] = [];
  for (const each of json.files) {
    const file = asObject(each);
    if (typeof file?.path !== "string" || typeof file.bytes !== "number") return undefined;
    const digest = digestOf(file.digest);
    if (!isSafePath(file.path) || digest === undefined) return undefined;
    const info = await statOf(join(layout.models, dir, file.path));
    if (info?.size !== file.bytes) return undefined;
    files.push({ path: file.path, bytes: file.bytes, digest });
  }
  const { entry = "" } = json;
  if (typeof entry !== "string" || (entry !== "" && !isSafePath(entry))) return undefined;
  return {
    name: json.name,
    license: typeof json.license === "string" ? json.license : null,
    source: typeof json.source === "string" ? json.source : "",
    dtype: DTYPE_ORDER.find((dtype) => dtype === json.dtype) ?? null,
    entry,
    files,
  };
}

function digestOf(value: unknown): Digest | undefined {
  const { algorithm, hex } = asObject(value) ?? {};
  if (algorithm === "sha256" && isHash(hex)) return { algorithm, hex };
  const isSha1 = algorithm === "git-sha1" && typeof hex === "string" && /^[0-9a-f]{40}$/.test(hex);
  return isSha1 ? { algorithm, hex } : undefined;
}

async function readJson(path: string): Promise<unknown> {
  const info = await statOf(path);
  if (info === undefined || info.size > MAX_MANIFEST_BYTES) return undefined;
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null ? value as Record<string, unknown> : undefined;
}

function stringsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
}

/** Where things lie in a store. Changing any of this means raising {@linkcode STORE_VERSION}. */
import { join, resolve } from "node:path";
import { MdiError } from "../../wasm/error.ts";

/** The layout's version, as the file `version` of a store says it. */
export const STORE_VERSION = 1;

/** Environment variables; `Deno.env` is one, a `Map` another. */
export interface Env {
  /** The value of a variable, undefined where it is not set. */
  get(name: string): string | undefined;
}

/**
 * The paths of a store:
 *
 *     version              the layout's version
 *     lock                 held while blocks are published, pinned or collected
 *     blocks/ab/abcd…      content-addressed files: blocks and text assets
 *     packed/abcd…         what is derived from blocks, under names that begin with a block's hash
 *     manifests/<id>.json  a manifest under the sha256 of its JSON; its mtime is its last use
 *     imports/<key>.json   which manifest an unchanged model file was cut into
 *     models/<dir>/        files that `mdi pull` fetched, and pulled.json
 *     pins/<uuid>          what a living process uses; it holds a lock on the file
 *     locks/<name>         one process at a time imports or pulls the same model
 *     tmp/                 partial files
 */
export interface StoreLayout {
  /** The store's directory, absolute. */
  root: string;
  /** File that says the layout's version. */
  version: string;
  /** File of the store's lock. */
  lock: string;
  /** Directory of content-addressed files. */
  blocks: string;
  /** Directory of what is derived from blocks. */
  packed: string;
  /** Directory of manifests. */
  manifests: string;
  /** Directory of import records. */
  imports: string;
  /** Directory of pulled models. */
  models: string;
  /** Directory of pins. */
  pins: string;
  /** Directory of named locks. */
  locks: string;
  /** Directory of partial files. */
  tmp: string;
  /** See {@linkcode StoreOptions.onNote}. */
  onNote: ((message: string) => void) | undefined;
}

/**
 * The directory that a person's store has: `$MDI_HOME`, else `~/.cache/mdi`.
 * @throws {MdiError} disk where neither `$MDI_HOME` nor a home directory is set.
 */
export function defaultHome(env: Env = Deno.env): string {
  const given = env.get("MDI_HOME");
  if (given) return resolve(given);
  const home = env.get("HOME") ?? env.get("USERPROFILE");
  if (!home) {
    throw new MdiError(
      "disk",
      "Cannot place the store: neither MDI_HOME nor HOME is set; set MDI_HOME to a directory",
    );
  }
  return join(resolve(home), ".cache", "mdi");
}

/** The paths of the store in `root`. */
export function layoutOf(root: string, onNote?: (message: string) => void): StoreLayout {
  const absolute = resolve(root);
  const at = (name: string) => join(absolute, name);
  return {
    root: absolute,
    version: at("version"),
    lock: at("lock"),
    blocks: at("blocks"),
    packed: at("packed"),
    manifests: at("manifests"),
    imports: at("imports"),
    models: at("models"),
    pins: at("pins"),
    locks: at("locks"),
    tmp: at("tmp"),
    onNote,
  };
}

/** Where the file of a hash lies or would lie. */
export function blockPath(layout: StoreLayout, hash: string): string {
  return join(layout.blocks, checkHash(hash).slice(0, 2), hash);
}

/** Whether a value is a sha256 in lower-case hex, and so safe in a path. */
export function isHash(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
}

/**
 * Gives a hash back that is safe in a path.
 * @throws {TypeError} where it is not 64 lower-case hex digits.
 */
export function checkHash(hash: string): string {
  if (!isHash(hash)) {
    throw new TypeError(
      `Cannot use ${JSON.stringify(hash)} as a hash: expected 64 lower-case hex digits`,
    );
  }
  return hash;
}

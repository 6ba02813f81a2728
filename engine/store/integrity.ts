/**
 * Whether a stored file still is what its hash says, without hashing it at every start: a file is marked
 * when its hash has been checked (`wasm/file_mark.ts`), and hashed again where it has no mark. This notices
 * what programs do to a file, and not what a failing disk does to its bytes: `mdi store verify` hashes
 * everything. The mark follows from the hash, so that an import can tell a file from an earlier one at the
 * same path by its size and time.
 */
import { isMarked, markFile } from "../../wasm/file_mark.ts";
import { hashPacked, type HashPackedOptions } from "../../wasm/simd/packed_digest.ts";
import { type Digest, hashFile, type HashFileOptions } from "./digest.ts";
import { removeIfThere, statOf } from "./disk.ts";
import type { StoreLayout } from "./layout.ts";
import { withStoreLock } from "./lock.ts";

/** What a file hashes to, and what it should, in hex. */
export interface Hashes {
  actual: string;
  expected: string;
}

/**
 * Checks a stored file, by its mark where it has one; where it is damaged, it is removed.
 * @returns whether it is there and right.
 */
export async function checkIntegrity(
  layout: StoreLayout,
  path: string,
  digest: Digest,
  signal?: AbortSignal,
): Promise<boolean> {
  const info = await statOf(path);
  if (info && isMarked(info, digest.hex)) return true;
  const hashes = await rehash(layout, path, digest, { signal });
  if (hashes === undefined) return false;
  const { actual, expected } = hashes;
  if (actual !== expected) {
    layout.onNote?.(`removed ${path}: its ${digest.algorithm} is ${actual}, so it was damaged`);
  }
  return actual === expected;
}

/**
 * Hashes a stored file whatever its mark says. It is marked where it is right and removed where it is
 * damaged, unless another process has put another file in its place meanwhile: that one is hashed then.
 * @returns what it hashed to, and should; undefined where there is none.
 */
export async function rehash(
  layout: StoreLayout,
  path: string,
  digest: Digest,
  options: Omit<HashFileOptions, "algorithm"> = {},
): Promise<Hashes | undefined> {
  return await settle(layout, path, async () => {
    const actual = await hashFile(path, { ...options, algorithm: digest.algorithm });
    return actual === undefined ? undefined : { actual, expected: digest.hex };
  });
}

/**
 * As {@linkcode rehash}, for a packed file, which says itself what it must hash to.
 * @returns as {@linkcode rehash}.
 */
export async function rehashPacked(
  layout: StoreLayout,
  path: string,
  options: HashPackedOptions = {},
): Promise<Hashes | undefined> {
  return await settle(layout, path, async () => {
    try {
      using file = await Deno.open(path);
      return await hashPacked(file, options);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  });
}

/** Marks or removes a file by its hashes, of which `look` gives none where it is not there. */
async function settle(
  layout: StoreLayout,
  path: string,
  look: () => Promise<Hashes | undefined>,
): Promise<Hashes | undefined> {
  while (true) {
    const before = await statOf(path);
    const hashes = before && await look();
    const settled = await withStoreLock(layout, async () => {
      if (!isSame(before, await statOf(path))) return false;
      if (hashes && hashes.actual === hashes.expected) await markFile(path, hashes.expected);
      else await removeIfThere(path);
      return true;
    });
    if (settled) return hashes;
  }
}

/** Whether two looks at a path met the same file, unchanged. */
function isSame(a: Deno.FileInfo | undefined, b: Deno.FileInfo | undefined): boolean {
  return a?.ino === b?.ino && a?.size === b?.size && a?.mtime?.getTime() === b?.mtime?.getTime();
}

/**
 * Whether a stored file still is what its hash says, without hashing it at every start: a file's time of
 * change is set to a moment in the past when its hash has been checked (as the Nix store does), and any
 * other time makes it be hashed again. The moment follows from the hash: an import tells a file from an
 * earlier one at the same path by its size and time. This notices what programs do to a file, and not what a failing disk
 * does to its bytes: `mdi store verify` hashes everything.
 */
import { type Digest, hashFile, type HashFileOptions } from "./digest.ts";
import { removeIfThere, statOf } from "./disk.ts";
import type { StoreLayout } from "./layout.ts";
import { withStoreLock } from "./lock.ts";

/** The first moment. */
const CHECKED_MS = Date.UTC(2000, 0, 2);
/** A file system of two-second steps has the others too. */
const STEP_MS = 2000;

/** The time of change of a file whose hash has been checked: one of 2^24 in 2000 and 2001. */
function checkedTime({ hex }: Digest): Date {
  return new Date(CHECKED_MS + STEP_MS * parseInt(hex.slice(0, 6), 16));
}

/** Marks a file whose hash has been checked. */
export async function markChecked(path: string, digest: Digest): Promise<void> {
  const time = checkedTime(digest);
  try {
    await Deno.utime(path, time, time);
  } catch {
    // A file system that keeps no times: the file is hashed at every start.
  }
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
  if (info?.mtime?.getTime() === checkedTime(digest).getTime()) return true;
  const actual = await rehash(layout, path, digest, { signal });
  if (actual !== undefined && actual !== digest.hex) {
    layout.onNote?.(`removed ${path}: its ${digest.algorithm} is ${actual}, so it was damaged`);
  }
  return actual === digest.hex;
}

/**
 * Hashes a stored file whatever its mark says. It is marked where it is right and removed where it is
 * damaged, unless another process has put another file in its place meanwhile: that one is hashed then.
 * @returns what it hashed to; undefined where there is none.
 */
export async function rehash(
  layout: StoreLayout,
  path: string,
  digest: Digest,
  options: Omit<HashFileOptions, "algorithm"> = {},
): Promise<string | undefined> {
  while (true) {
    const before = await statOf(path);
    const actual = before && await hashFile(path, { ...options, algorithm: digest.algorithm });
    const settled = await withStoreLock(layout, async () => {
      if (!isSame(before, await statOf(path))) return false;
      if (actual === digest.hex) await markChecked(path, digest);
      else await removeIfThere(path);
      return true;
    });
    if (settled) return actual;
  }
}

/** Whether two looks at a path met the same file, unchanged. */
function isSame(a: Deno.FileInfo | undefined, b: Deno.FileInfo | undefined): boolean {
  return a?.ino === b?.ino && a?.size === b?.size && a?.mtime?.getTime() === b?.mtime?.getTime();
}

/**
 * Whether a stored file still is what its hash says, without hashing it at every start: a file's time of
 * change is set to a fixed moment when its hash has been checked (as the Nix store does), and any other
 * time makes it be hashed again. This notices what programs do to a file, and not what a failing disk
 * does to its bytes: `mdi store verify` hashes everything.
 */
import { createHash } from "node:crypto";
import { removeIfThere, statOf } from "./disk.ts";
import type { StoreLayout } from "./layout.ts";
import { withLock } from "./lock.ts";

/** The moment; a file system of two-second steps has it too. */
const CHECKED = new Date("2000-01-02T00:00:00Z");

/** Marks a file whose hash has been checked. */
export async function markChecked(path: string): Promise<void> {
  try {
    await Deno.utime(path, CHECKED, CHECKED);
  } catch {
    // A file system that keeps no times: the file is hashed at every start.
  }
}

/** Checks a stored file; where it is damaged, it is removed. @returns whether it is there and right. */
export async function checkIntegrity(
  layout: StoreLayout,
  path: string,
  hash: string,
): Promise<boolean> {
  const info = await statOf(path);
  if (info === undefined) return false;
  if (info.mtime?.getTime() === CHECKED.getTime()) return true;
  if (await hashFile(path) === hash) {
    await markChecked(path);
    return true;
  }
  await withLock(layout.lock, () => removeIfThere(path));
  return false;
}

/** The sha256 of a file in hex, read 1 MB at a time; undefined where there is none. */
export async function hashFile(
  path: string,
  signal?: AbortSignal,
  onBytes: (bytes: number) => void = () => {},
): Promise<string | undefined> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  using _ = file;
  const hash = createHash("sha256");
  const chunk = new Uint8Array(2 ** 20);
  while (true) {
    signal?.throwIfAborted();
    const read = await file.read(chunk);
    if (read === null) return hash.digest("hex");
    hash.update(chunk.subarray(0, read));
    onBytes(read);
  }
}

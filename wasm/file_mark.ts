/**
 * A mark on files whose hash has been checked: their time of change is set to a moment in the past (as the
 * Nix store does) that follows from the hash. Whatever writes to such a file takes the mark away.
 */

/** The first moment. */
const FIRST_MS = Date.UTC(2000, 0, 2);
/** A file system of two-second steps has the others too. */
const STEP_MS = 2000;

/** The time of change of a file whose hash, in hex, has been checked: one of 2^24 in 2000 and 2001. */
function markOf(hash: string): number {
  return FIRST_MS + STEP_MS * parseInt(hash.slice(0, 6), 16);
}

/** Whether a file has the mark of a hash in hex. */
export function isMarked(info: Deno.FileInfo, hash: string): boolean {
  return info.mtime?.getTime() === markOf(hash);
}

/** Marks a file whose hash, in hex, has been checked. */
export async function markFile(path: string, hash: string): Promise<void> {
  const time = new Date(markOf(hash));
  try {
    await Deno.utime(path, time, time);
  } catch {
    // A file system that keeps no times, or a file that is gone: the next one to use it hashes it.
  }
}

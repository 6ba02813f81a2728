/** Locks between processes: advisory locks on files, which the system drops when a process dies. */

/** Longest pause between two tries, in ms. */
const MAX_PAUSE_MS = 200;

/** Opens a file and takes its lock; undefined where someone else holds it. Closing it unlocks. */
export async function tryLock(path: string): Promise<Deno.FsFile | undefined> {
  while (true) {
    const file = await Deno.open(path, { read: true, write: true, create: true });
    try {
      if (!(await file.tryLock(true))) {
        file.close();
        return undefined;
      }
      if (await isAt(file, path)) return file;
      file.close();
    } catch (error) {
      file.close();
      throw error;
    }
  }
}

/** Whether the open file is still what the path names: it may have been renamed before the lock. */
async function isAt(file: Deno.FsFile, path: string): Promise<boolean> {
  const open = await file.stat();
  try {
    const named = await Deno.stat(path);
    return named.ino === open.ino && named.dev === open.dev;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/**
 * Runs `fn` while holding the lock of a file.
 * @throws the signal's reason where it fires before the lock is had.
 */
export async function withLock<T>(
  path: string,
  fn: () => Promise<T>,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<T> {
  let file = await tryLock(path);
  for (let pause = 2; file === undefined; pause = Math.min(2 * pause, MAX_PAUSE_MS)) {
    signal?.throwIfAborted();
    await new Promise((done) => setTimeout(done, pause));
    file = await tryLock(path);
  }
  try {
    signal?.throwIfAborted();
    return await fn();
  } finally {
    file.close();
  }
}

/** Locks between processes: advisory locks on files, which the system drops when a process dies. */
import type { StoreLayout } from "./layout.ts";

/** Longest pause between two tries, in ms. */
const MAX_PAUSE_MS = 200;
/** A person is told of a wait that takes longer, in ms. */
const TELL_MS = 2000;

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

/** How a lock is waited for. */
export interface LockOptions {
  /** Ends the wait. */
  signal?: AbortSignal | undefined;
  /** Told once that the wait takes long. */
  onWait?: (() => void) | undefined;
}

/**
 * Runs `fn` while holding the lock of a file.
 * @throws the signal's reason where it fires before the lock is had.
 */
export async function withLock<T>(
  path: string,
  fn: () => Promise<T>,
  { signal, onWait }: LockOptions = {},
): Promise<T> {
  const start = performance.now();
  let told = false;
  let file = await tryLock(path);
  for (let pause = 2; file === undefined; pause = Math.min(2 * pause, MAX_PAUSE_MS)) {
    signal?.throwIfAborted();
    if (!told && performance.now() - start > TELL_MS) {
      told = true;
      onWait?.();
    }
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

/** Runs `fn` while holding the lock of a store. */
export async function withStoreLock<T>(layout: StoreLayout, fn: () => Promise<T>): Promise<T> {
  const onWait = () =>
    layout.onNote?.(`waiting for another mdi process that is using the store at ${layout.root}`);
  return await withLock(layout.lock, fn, { onWait });
}

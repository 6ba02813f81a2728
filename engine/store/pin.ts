/** What living processes use of a store, so that no other process removes it. */
import { join } from "node:path";
import type { StoreLayout } from "./layout.ts";
import { onDisk, removeIfThere } from "./disk.ts";
import { tryLock, withStoreLock } from "./lock.ts";

/**
 * A list of things in use: hashes of blocks and names of directories in `models/`. It lasts until it is
 * disposed or its process dies: the process holds a lock on the list's file.
 */
export class Pin implements AsyncDisposable {
  #layout: StoreLayout;
  #path: string;
  #file: Deno.FsFile;
  #keys = new Set<string>();
  #closed = false;

  private constructor(layout: StoreLayout, path: string, file: Deno.FsFile) {
    this.#layout = layout;
    this.#path = path;
    this.#file = file;
  }

  /** Makes an empty list. */
  static async open(layout: StoreLayout): Promise<Pin> {
    const path = join(layout.pins, crypto.randomUUID());
    return await onDisk(
      "use the store",
      layout.pins,
      async () =>
        await withStoreLock(layout, async () => {
          const file = await tryLock(path);
          if (file === undefined) throw new TypeError(`Cannot pin: ${path} is locked`);
          return new Pin(layout, path, file);
        }),
    );
  }

  /** Adds to the list. What exists when this returns stays; so add first and look afterwards. */
  async add(...keys: string[]): Promise<void> {
    await withStoreLock(this.#layout, () => this.addLocked(...keys));
  }

  /** The same for a caller that holds the store's lock. */
  async addLocked(...keys: string[]): Promise<void> {
    const fresh = keys.filter((key) => !this.#keys.has(key));
    if (fresh.length === 0) return;
    const bytes = new TextEncoder().encode(fresh.map((key) => `${key}\n`).join(""));
    await onDisk("use the store", this.#layout.pins, async () => {
      for (let at = 0; at < bytes.length;) at += await this.#file.write(bytes.subarray(at));
    });
    for (const key of fresh) this.#keys.add(key);
  }

  /** Ends the use. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await removeIfThere(this.#path);
    this.#file.close();
  }
}

/** All that living processes have pinned. The caller holds the store's lock. */
export async function pinned(layout: StoreLayout): Promise<Set<string>> {
  const keys = new Set<string>();
  for await (const { name } of Deno.readDir(layout.pins)) {
    const path = join(layout.pins, name);
    const stale = await tryLock(path);
    if (stale) {
      await removeIfThere(path);
      stale.close();
      continue;
    }
    for (const key of (await Deno.readTextFile(path)).split("\n")) if (key) keys.add(key);
  }
  return keys;
}

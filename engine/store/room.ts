/** Room on a disk, asked for before anything is fetched. */
import { MdiError } from "../../wasm/error.ts";
import { evict } from "./collect.ts";
import { formatBytes } from "../format_bytes.ts";
import { freeBytes } from "./disk.ts";
import type { StoreLayout } from "./layout.ts";
import { storedBytes } from "./usage.ts";

/**
 * Makes room for `bytes` more; see {@linkcode Store.ensureRoom}.
 * @param limitBytes what the store may take; null for no limit.
 * @throws {MdiError} disk
 */
export async function ensureRoom(
  layout: StoreLayout,
  limitBytes: number | null,
  bytes: number,
  what: string,
): Promise<void> {
  const { root } = layout;
  if (limitBytes !== null) {
    let stored = await storedBytes(layout);
    if (stored + bytes > limitBytes) {
      await evict(layout, stored + bytes - limitBytes);
      stored = await storedBytes(layout);
    }
    if (stored + bytes > limitBytes) {
      throw new MdiError(
        "disk",
        `Cannot store ${what}: it takes ${formatBytes(bytes)}, and ${formatBytes(stored)} of the ` +
          `store's limit of ${formatBytes(limitBytes)} are in use; raise the limit or run ` +
          `"mdi store remove MODEL"`,
        { details: { neededBytes: bytes, storedBytes: stored, limitBytes } },
      );
    }
  }
  const free = await freeBytes(root);
  if (free !== null && free < bytes) {
    throw new MdiError(
      "disk",
      `Cannot store ${what}: it takes ${formatBytes(bytes)}, and the disk at ${root} has ` +
        `${formatBytes(free)} free; free space or set MDI_HOME to a directory on another disk`,
      { details: { neededBytes: bytes, freeBytes: free, path: root } },
    );
  }
}

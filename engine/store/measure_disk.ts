/** How fast a store's disk is. */
import { join } from "node:path";
import { onDisk, removeIfThere } from "./disk.ts";
import type { StoreLayout } from "./layout.ts";

/** What was measured with one file, in bytes a second. */
export interface DiskSpeed {
  /** Of writing until it is on the medium. */
  writeBytesPerSecond: number;
  /** Of reading it back, for the most part from the system's cache. */
  readBytesPerSecond: number;
}

/** Bytes between two looks at the clock, and at most. A slow card gets no more than one piece. */
const PIECE_BYTES = 4 * 2 ** 20;
const MOST_BYTES = 16 * 2 ** 20;
const WRITING_MS = 1000;

/**
 * Writes a temporary file in the store, reads it, and removes it: at most 16 MiB, and no piece more after a second.
 * @throws {MdiError} disk where it cannot be written.
 */
export async function measureDisk(
  layout: Pick<StoreLayout, "tmp">,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<DiskSpeed> {
  const path = join(layout.tmp, `${crypto.randomUUID()}.speed`);
  const piece = randomPiece();
  return await onDisk("write to the store", layout.tmp, async () => {
    try {
      using file = await Deno.open(path, { read: true, write: true, createNew: true });
      let bytes = 0;
      const start = performance.now();
      while (bytes < MOST_BYTES && (bytes === 0 || performance.now() - start < WRITING_MS)) {
        options.signal?.throwIfAborted();
        for (let at = 0; at < piece.length;) at += await file.write(piece.subarray(at));
        await file.syncData();
        bytes += piece.length;
      }
      const writtenMs = performance.now() - start;
      await file.seek(0, Deno.SeekMode.Start);
      const again = performance.now();
      while (await file.read(piece) !== null);
      const readMs = performance.now() - again;
      return {
        writeBytesPerSecond: 1000 * bytes / Math.max(writtenMs, 0.001),
        readBytesPerSecond: 1000 * bytes / Math.max(readMs, 0.001),
      };
    } finally {
      await removeIfThere(path);
    }
  }, PIECE_BYTES);
}

/** Bytes that no file system makes smaller. */
function randomPiece(): Uint8Array<ArrayBuffer> {
  const piece = new Uint8Array(PIECE_BYTES);
  const most = 65_536; // of getRandomValues()
  for (let at = 0; at < piece.length; at += most) {
    crypto.getRandomValues(piece.subarray(at, at + most));
  }
  return piece;
}

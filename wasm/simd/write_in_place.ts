/** Files that are in their place whole, or not at all. */
import { unfinishedPath } from "./packed_name.ts";

/** Takes bytes in order; they may change once it has returned. */
type Append = (bytes: Uint8Array) => Promise<void>;

/**
 * Writes a file under another name and moves it into its place when all of it is on the disk.
 * Throws what `fill` or the system throws, and then leaves nothing behind.
 */
export async function writeInPlace(
  path: string,
  fill: (append: Append) => Promise<void>,
): Promise<void> {
  const temporary = unfinishedPath(path);
  try {
    {
      using file = await Deno.open(temporary, { write: true, createNew: true });
      await fill(async (bytes) => {
        for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
      });
      await file.sync();
    }
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

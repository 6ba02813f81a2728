/** The moment in which a received file becomes one of the store's. */
import { markFile } from "../../wasm/file_mark.ts";
import type { Digest } from "./digest.ts";
import type { StoreLayout } from "./layout.ts";
import { withStoreLock } from "./lock.ts";
import type { Receiver } from "./receiver.ts";

/**
 * Gives a sealed file its place and the mark that its hash has been checked.
 * @param digest what it was sealed with.
 * @param also done under the same hold of the store's lock.
 * @throws {MdiError} disk
 */
export async function publishChecked(
  layout: StoreLayout,
  receiver: Receiver,
  path: string,
  digest: Digest,
  also: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  await withStoreLock(layout, async () => {
    await receiver.publish(path);
    await markFile(path, digest.hex);
    await also();
  });
}

/** A block on its way into the store. */
import { sha256Of } from "./digest.ts";
import type { StoreLayout } from "./layout.ts";
import type { Pin } from "./pin.ts";
import { publishChecked } from "./publish.ts";
import type { Receiver } from "./receiver.ts";

/** Where a finished file goes, and who keeps it there. */
export interface Destination {
  /** Of the store that it goes to. */
  layout: StoreLayout;
  /** The place of the file of a hash. */
  path(hash: string): string;
  /** Keeps the file. */
  pin: Pin | undefined;
}

/** Checks what came, gives it its place, and pins it in the same moment. @returns its hash. */
export async function publish(receiver: Receiver, destination: Destination): Promise<string> {
  const { layout, path, pin } = destination;
  const hash = await receiver.seal();
  await publishChecked(
    layout,
    receiver,
    path(hash),
    sha256Of(hash),
    async () => await pin?.addLocked(hash),
  );
  return hash;
}

/** Receives a file whose hash and size are known. Made by {@linkcode Store.writer}. */
export class BlockReceiver implements AsyncDisposable {
  #receiver: Receiver;
  #destination: Destination;

  /** Wraps a receiver whose digest is the block's hash. */
  constructor(receiver: Receiver, destination: Destination) {
    this.#receiver = receiver;
    this.#destination = destination;
  }

  /** Bytes that are there: where the sender goes on. */
  get resumeOffset(): number {
    return this.#receiver.offset;
  }

  /**
   * Appends bytes.
   * @throws {MdiError} disk; model_corrupt where more come than announced.
   */
  async write(chunk: Uint8Array): Promise<void> {
    await this.#receiver.write(chunk);
  }

  /**
   * Checks the hash of the whole and stores it.
   * @throws {MdiError} model_corrupt where bytes are missing (they can still come later) or the hash is
   * wrong (what came is deleted); disk.
   */
  async commit(): Promise<void> {
    await publish(this.#receiver, this.#destination);
  }

  /** Ends the attempt; what came stays for the next one. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#receiver[Symbol.asyncDispose]();
  }
}

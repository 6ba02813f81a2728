/**
 * Whether a worker still lives. One that closes itself raises no event, and one in a long WebAssembly call answers
 * nothing, so neither events nor time tell them apart. A port does that was moved to the worker: it closes when the
 * worker's thread ends, not before, and the port at its other end is told.
 */
// The ports of the global MessageChannel raise no "close" in Deno 2.9.
import { MessageChannel } from "node:worker_threads";

/** What a worker said last, an error above all, may arrive a little after its end is known. */
const LAST_WORDS_MS = 100;

/**
 * Tells of the end of a worker that has taken its port, once, whatever ended it; not after it was disposed. Where a
 * worker's module fails there is an error event, but a port that was on its way may be lost.
 */
export class Lifeline implements Disposable {
  /** To be moved to the worker, which only keeps it. */
  readonly far: MessagePort;
  #near;
  #onClose: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param ended is called when the worker is gone, after the events of all that it said. */
  constructor(ended: () => void) {
    const { port1, port2 } = new MessageChannel();
    this.#near = port1;
    this.far = port2 as unknown as MessagePort;
    this.#onClose = () => this.#timer = setTimeout(ended, LAST_WORDS_MS);
    port1.on("close", this.#onClose);
    port1.start();
    port1.ref(); // else a program that waits for nothing but the worker ends before it is told
  }

  /** Lets go of the worker. */
  [Symbol.dispose](): void {
    this.#near.off("close", this.#onClose);
    this.#near.unref();
    this.#near.close();
    clearTimeout(this.#timer);
  }
}

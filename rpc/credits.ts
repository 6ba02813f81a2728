/**
 * The two halves of a link's flow control. The receiver's queue grants as many credits as it has places
 * and grants again, half a window at a time, as messages are taken; the sender's gate lets one message
 * through for each credit. HTTP/2's own windows count bytes on one connection; credits count messages
 * that a node has not computed yet.
 */
import { MdiError } from "../wasm/error.ts";

/** A message that waits for a credit. */
interface Waiting {
  run: () => void;
  resolve: () => void;
  reject: (reason: unknown) => void;
  since: number;
}

/** The sender's half: runs tasks in order, one for each credit. */
export class CreditGate {
  #credits = 0;
  #waitMs = 0;
  #closed: MdiError | undefined;
  readonly #waiting: Waiting[] = [];

  /** Time that tasks have waited, in ms, those that still wait included. */
  get waitMs(): number {
    const now = performance.now();
    return this.#waiting.reduce((sum, { since }) => sum + now - since, this.#waitMs);
  }

  /** Whether a task that comes now has to wait. */
  get halted(): boolean {
    return this.#credits === 0;
  }

  /**
   * Runs `run` as soon as there is a credit and all tasks before it have run; at once where that is so
   * already. Rejects with what `run` throws, with the reason of {@linkcode CreditGate.close}, or with
   * "cancelled" where the signal comes first.
   */
  async run(run: () => void, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { signal } = options;
    if (this.#closed) throw this.#closed;
    if (signal?.aborted) throw cancelledBy(signal);
    // Nothing waits while there are credits: `grant` runs all that it can.
    if (this.#credits > 0) {
      run();
      this.#credits--;
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting: Waiting = { run, resolve, reject, since: performance.now() };
    this.#waiting.push(waiting);
    const onAbort = () => {
      const index = this.#waiting.indexOf(waiting);
      if (index < 0) return;
      this.#waiting.splice(index, 1);
      this.#waitMs += performance.now() - waiting.since;
      reject(cancelledBy(signal!));
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      await promise;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Adds credits. */
  grant(count: number): void {
    this.#credits += count;
    while (this.#credits > 0) {
      const next = this.#waiting.shift();
      if (!next) return;
      this.#waitMs += performance.now() - next.since;
      try {
        next.run();
        this.#credits--;
        next.resolve();
      } catch (error) {
        next.reject(error);
      }
    }
  }

  /** Rejects all tasks that wait and those to come. */
  close(reason: MdiError): void {
    if (this.#closed) return;
    this.#closed = reason;
    const now = performance.now();
    for (const waiting of this.#waiting.splice(0)) {
      this.#waitMs += now - waiting.since;
      waiting.reject(reason);
    }
  }
}

/** How a {@linkcode CreditedQueue} tells its owner. */
export interface CreditedQueueOptions {
  /** Places in the queue. */
  window: number;
  /** Sends credits; called with the whole window at once, then with half of it or more. */
  grant: (credits: number) => void;
  /** Called once when the reader has taken all or has left. */
  onDone: () => void;
}

/** The receiver's half: a bounded queue with one reader. */
export class CreditedQueue<T> implements AsyncIterableIterator<T> {
  readonly #options: CreditedQueueOptions;
  readonly #items: T[] = [];
  /** Credits that the sender has left. */
  #outstanding = 0;
  /** Items taken since the last grant. */
  #taken = 0;
  #ended = false;
  #error: MdiError | undefined;
  #done = false;
  #reader: PromiseWithResolvers<IteratorResult<T>> | undefined;

  /** Grants the first window. Throws a RangeError where it is not a positive integer. */
  constructor(options: CreditedQueueOptions) {
    const { window } = options;
    if (!Number.isInteger(window) || window < 1 || window > 65536) {
      throw new RangeError(`Cannot open a link with ${window} credits`);
    }
    this.#options = options;
    this.#outstanding = window;
    options.grant(window);
  }

  /**
   * Spends a credit for an item that arrived; null for one that is dropped.
   * @throws {MdiError} protocol where the sender had no credit.
   */
  push(item: T | null): void {
    if (this.#outstanding === 0) {
      throw new MdiError(
        "protocol",
        `Cannot take the message: it exceeds the window of ${this.#options.window} credits`,
        { details: { field: "credits", met: this.#options.window + 1 } },
      );
    }
    this.#outstanding--;
    if (this.#ended) return;
    if (item === null) return this.#giveBack();
    const reader = this.#reader;
    if (!reader) {
      this.#items.push(item);
      return;
    }
    this.#reader = undefined;
    this.#giveBack();
    reader.resolve({ value: item, done: false });
  }

  /** The sender has ended: the reader gets what is queued and then the end. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#items.length === 0) this.#finish();
  }

  /** The link broke before its end: the reader gets the reason, and not what is queued. */
  fail(reason: MdiError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = reason;
    this.#items.length = 0;
    if (this.#reader) this.#finish();
  }

  /** Takes the next item. */
  next(): Promise<IteratorResult<T>> {
    if (this.#reader) {
      return Promise.reject(new TypeError("Cannot read a link twice at once"));
    }
    const item = this.#items.shift();
    if (item !== undefined) {
      this.#giveBack();
      if (this.#ended && this.#items.length === 0) this.#finish();
      return Promise.resolve({ value: item, done: false });
    }
    const reader = Promise.withResolvers<IteratorResult<T>>();
    this.#reader = reader;
    if (this.#ended) this.#finish();
    return reader.promise;
  }

  /** The reader leaves; what is queued is dropped. */
  return(): Promise<IteratorResult<T>> {
    this.#items.length = 0;
    this.#ended = true;
    this.#error = undefined;
    this.#finish();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #giveBack(): void {
    this.#taken++;
    if (this.#ended || this.#taken < this.#options.window / 2) return;
    this.#outstanding += this.#taken;
    this.#options.grant(this.#taken);
    this.#taken = 0;
  }

  #finish(): void {
    const reader = this.#reader;
    this.#reader = undefined;
    // The reason is thrown once; a reader that asks again gets the end.
    const error = this.#error;
    this.#error = undefined;
    if (error) reader?.reject(error);
    else reader?.resolve({ value: undefined, done: true });
    if (this.#done) return;
    this.#done = true;
    this.#options.onDone();
  }
}

function cancelledBy(signal: AbortSignal): MdiError {
  return new MdiError("cancelled", "Cancelled while a message waited for the successor", {
    cause: signal.reason,
  });
}

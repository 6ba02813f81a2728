/** A queue between one or more writers and one reader that waits for it. */

/** Values in the order they were pushed; iterated once. */
export class AsyncQueue<T> implements AsyncIterableIterator<T> {
  #values: T[] = [];
  #waiting: PromiseWithResolvers<IteratorResult<T>> | undefined;
  #ended = false;
  #failure: Error | undefined;

  /** Appends a value; does nothing after the end. */
  push(value: T): void {
    if (this.#ended) return;
    if (this.#waiting) {
      this.#waiting.resolve({ value, done: false });
      this.#waiting = undefined;
    } else this.#values.push(value);
  }

  /** Ends it: the reader gets what is queued, then the end, or the error. */
  end(failure?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = failure;
    if (failure) this.#waiting?.reject(failure);
    else this.#waiting?.resolve({ value: undefined, done: true });
    this.#waiting = undefined;
  }

  /** The next value; one read at a time. */
  next(): Promise<IteratorResult<T>> {
    if (this.#values.length > 0) {
      return Promise.resolve({ value: this.#values.shift()!, done: false });
    }
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  /** The reader has enough. */
  return(): Promise<IteratorResult<T>> {
    this.#values = [];
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  /** The reader failed. Connect needs this of a request iterable. */
  throw(error?: unknown): Promise<IteratorResult<T>> {
    this.#values = [];
    this.end();
    return Promise.reject(error);
  }

  /** Itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }
}

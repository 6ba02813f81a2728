/** What is under way, for whoever may only go on when it is over. */

/** How long is waited for it, in ms: what takes longer is not waiting for this side any more. */
const LIMIT_MS = 5000;

/** Calls that are under way. */
export class Underway {
  #calls = 0;
  #waiting: (() => void)[] = [];

  /** Begins a call, which ends when it is disposed of. */
  enter(): Disposable {
    this.#calls++;
    return {
      [Symbol.dispose]: () => {
        if (--this.#calls > 0) return;
        for (const wake of this.#waiting.splice(0)) wake();
      },
    };
  }

  /** Waits until no call is under way, for some seconds at most. */
  async settled(limitMs = LIMIT_MS): Promise<void> {
    if (this.#calls === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    const timer = setTimeout(resolve, limitMs);
    await promise;
    clearTimeout(timer);
  }
}

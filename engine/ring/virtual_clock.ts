/** A clock whose time passes only when it is told to: discrete-event simulation. */
import { type Clock, type SleepOptions, sleepWith } from "../clock.ts";

interface Timer {
  at: number;
  callback: () => void;
}

/**
 * Virtual time. {@linkcode VirtualClock.next} jumps to the earliest timer and fires it; timers of
 * the same moment fire in the order they were started, so a run is reproducible.
 * A whole simulation is `while (clock.next());`.
 */
export class VirtualClock implements Clock {
  #now = 0;
  /** Latest first, so that the next one to fire is at the end. */
  readonly #timers: Timer[] = [];

  /** Virtual milliseconds since the clock was made. */
  now(): number {
    return this.#now;
  }

  /**
   * Calls `callback` when `ms` virtual milliseconds have passed.
   * @returns what cancels the timer.
   * @throws {RangeError} where `ms` is negative or not finite.
   */
  after(ms: number, callback: () => void): () => void {
    if (!(ms >= 0 && ms < Infinity)) {
      throw new RangeError(`Cannot start a timer of ${ms} ms: it must be finite and at least 0`);
    }
    const timers = this.#timers;
    const timer = { at: this.#now + ms, callback };
    let low = 0;
    let high = timers.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (timers[middle]!.at <= timer.at) high = middle;
      else low = middle + 1;
    }
    timers.splice(low, 0, timer);
    return () => {
      const index = timers.indexOf(timer);
      if (index >= 0) timers.splice(index, 1);
    };
  }

  /** Resolves when `ms` virtual milliseconds have passed. */
  sleep(ms: number, options?: SleepOptions): Promise<void> {
    return sleepWith((ms, callback) => this.after(ms, callback), ms, options);
  }

  /** Jumps to the earliest timer and fires it. Returns false where there is none. */
  next(): boolean {
    const timer = this.#timers.pop();
    if (timer === undefined) return false;
    this.#now = timer.at;
    timer.callback();
    return true;
  }
}

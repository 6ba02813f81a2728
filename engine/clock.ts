/** The seam between what waits and time itself: real in production, virtual in the simulator and tests. */

/** Options of {@linkcode Clock.sleep}. */
export interface SleepOptions {
  /** Ends the sleep early by rejecting with its reason. */
  signal?: AbortSignal;
}

/** A monotonic clock. Implementations: {@linkcode systemClock} and `engine/ring/virtual_clock.ts`. */
export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back. */
  now(): number;
  /**
   * Resolves when `ms` milliseconds have passed.
   * @throws {RangeError} where `ms` is not from 0 to 2³¹ - 1.
   */
  sleep(ms: number, options?: SleepOptions): Promise<void>;
}

/** Calls `callback` once after `ms` milliseconds. Returns what cancels that. */
export type StartTimer = (ms: number, callback: () => void) => () => void;

/** The longest wait that a JavaScript timer keeps; longer ones fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The clock of this machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: (ms, options) => sleepWith(startSystemTimer, ms, options),
};

/**
 * Turns a timer into a sleep that a signal ends.
 * @throws {RangeError} where `ms` is not from 0 to 2³¹ - 1.
 */
export function sleepWith(
  startTimer: StartTimer,
  ms: number,
  options: SleepOptions = {},
): Promise<void> {
  if (!(ms >= 0 && ms <= MAX_TIMER_MS)) {
    throw new RangeError(`Cannot sleep ${ms} ms: it must be from 0 to ${MAX_TIMER_MS}`);
  }
  const { signal } = options;
  if (signal?.aborted) return Promise.reject(signal.reason);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const cancel = startTimer(ms, () => {
    signal?.removeEventListener("abort", abort);
    resolve();
  });
  function abort() {
    cancel();
    reject(signal!.reason);
  }
  signal?.addEventListener("abort", abort, { once: true });
  return promise;
}

function startSystemTimer(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, ms);
  return () => clearTimeout(timer);
}

/** How fast a modelled device is over time: it throttles, it has a share of a core, it dies. */

/** From a moment on everything takes `factor` times as long, as of a lowered clock. */
export interface Slowdown {
  readonly atMs: number;
  readonly factor: number;
}

/** From a moment on it computes for `share` of each period and stands still, as of a cgroup's quota. */
export interface Quota {
  readonly atMs: number;
  readonly periodMs: number;
  readonly share: number;
}

/** What makes a device slower. */
export type Throttle = Slowdown | Quota;

/** Periods that rounding may add to work which ends with one. */
const ROUNDING = 1e-9;

/** A device's speed. */
export class DeviceSpeed {
  /** In the order of time; each holds until the next. */
  readonly #throttles: readonly Throttle[];
  readonly #diesAtMs: number;

  /**
   * Makes the speed of a device.
   * @throws {RangeError} where a number is not one that time can take.
   */
  constructor(throttles: readonly Throttle[] = [], diesAtMs = Infinity) {
    for (const throttle of throttles) requireThrottle(throttle);
    if (!(diesAtMs >= 0)) throw new RangeError(`Cannot simulate a death at ${diesAtMs} ms`);
    this.#throttles = throttles.toSorted((a, b) => a.atMs - b.atMs);
    this.#diesAtMs = diesAtMs;
  }

  /** Whether it is still there. */
  isAlive(at: number): boolean {
    return at < this.#diesAtMs;
  }

  /**
   * When work that takes `ms` at full speed and starts at `from` is done; the moment of its death where it
   * does not live to see that.
   */
  finish(from: number, ms: number): number {
    return Math.min(this.#finish(from, ms), this.#diesAtMs);
  }

  #finish(from: number, ms: number): number {
    let at = from;
    let left = ms;
    for (let i = -1; i < this.#throttles.length; i++) {
      const end = this.#throttles[i + 1]?.atMs ?? Infinity;
      if (at >= end) continue;
      const throttle = this.#throttles[i] ?? { atMs: 0, factor: 1 };
      const done = finishUnder(throttle, at, left);
      if (done <= end) return done;
      left -= workUnder(throttle, at, end);
      at = end;
    }
    return at;
  }
}

/** When work is done under one throttle alone. */
function finishUnder(throttle: Throttle, from: number, ms: number): number {
  if ("factor" in throttle) return from + ms * throttle.factor;
  if (ms === 0) return from;
  const { atMs, periodMs, share } = throttle;
  const running = share * periodMs;
  const total = runningMs(throttle, from) + ms;
  // A rest of rounding alone does not wait for the next period.
  const periods = Math.ceil(total / running - ROUNDING) - 1;
  return atMs + periods * periodMs + (total - periods * running);
}

/** Work, in ms at full speed, that fits between two moments under one throttle. */
function workUnder(throttle: Throttle, from: number, to: number): number {
  if ("factor" in throttle) return (to - from) / throttle.factor;
  return runningMs(throttle, to) - runningMs(throttle, from);
}

/** Milliseconds that a device with a share computed since its throttle began. */
function runningMs(throttle: Quota, at: number): number {
  const { atMs, periodMs, share } = throttle;
  const periods = Math.floor((at - atMs) / periodMs);
  return share * periodMs * periods + Math.min(share * periodMs, at - atMs - periods * periodMs);
}

function requireThrottle(throttle: Throttle): void {
  const right = throttle.atMs >= 0 &&
    ("factor" in throttle
      ? throttle.factor > 0 && throttle.factor < Infinity
      : throttle.periodMs > 0 && throttle.periodMs < Infinity && throttle.share > 0 &&
        throttle.share <= 1);
  if (!right) throw new RangeError(`Cannot simulate the throttle ${JSON.stringify(throttle)}`);
}

/**
 * How many threads a call takes: more of them hurt where another program uses their cores, or where two
 * share one core. Now and then a call is made with another number, and the faster one is kept. Bits do not
 * depend on it. Pure: times come from the caller.
 */

/** Calls between two trials: few at first, more as long as the choice holds. */
const LEAST_INTERVAL = 8;
const MOST_INTERVAL = 128;
/** Another number of threads is taken where it needs less than this of the time. */
const BETTER = 0.95;
/** Two calls in a row that take this much more than usual make for a trial at once. */
const SLOWER = 1.25;
/** Weight of the newest time. */
const FRESH = 0.2;

/** What is known of calls of about as many rows. */
interface Experience {
  /** Threads taken now. */
  threads: number;
  /** Their usual time of a row in ms; 0 before the first call. */
  usual: number;
  /** Calls in a row that took much more. */
  slow: number;
  /** Time of the other numbers of threads against the usual. */
  ratios: Map<number, number>;
  /** Calls until the next trial, and from one to the next. */
  wait: number;
  interval: number;
  /** Which of the others is tried next. */
  turn: number;
}

/** Chooses for one program. */
export class ThreadChooser {
  #options: number[];
  #experience = new Map<number, Experience>();

  /** @param threads the most there are. */
  constructor(threads: number) {
    this.#options = [...new Set([threads, threads - 1, 1])].filter((each) => each >= 1);
  }

  /** Threads for a call of so many rows. */
  choose(rows: number): number {
    const known = this.#of(rows);
    if (this.#options.length === 1 || known.wait-- > 0) return known.threads;
    const others = this.#options.filter((each) => each !== known.threads);
    return others[known.turn++ % others.length]!;
  }

  /** Takes note of how long that call took, in ms. */
  record(rows: number, threads: number, ms: number): void {
    const known = this.#of(rows);
    const time = ms / rows;
    if (threads === known.threads) {
      known.slow = known.usual > 0 && time > SLOWER * known.usual ? known.slow + 1 : 0;
      if (known.slow === 2) {
        known.interval = LEAST_INTERVAL;
        known.wait = 0;
      }
      // One call that the system interrupted tells little.
      const bounded = known.usual > 0 ? Math.min(time, 2 * known.usual) : time;
      known.usual += (known.usual > 0 ? FRESH : 1) * (bounded - known.usual);
      return;
    }
    const before = known.ratios.get(threads) ?? 1;
    const ratio = before + (time / known.usual - before) / 2;
    known.ratios.set(threads, ratio);
    if (ratio < BETTER) {
      known.threads = threads;
      known.usual = time;
      known.slow = 0;
      known.ratios.clear();
      known.interval = LEAST_INTERVAL;
    } else known.interval = Math.min(2 * known.interval, MOST_INTERVAL);
    known.wait = known.interval;
  }

  /** One row, a few, many. */
  #of(rows: number): Experience {
    const key = rows === 1 ? 1 : rows <= 4 ? 2 : 3;
    let known = this.#experience.get(key);
    if (!known) {
      known = {
        threads: this.#options[0]!,
        usual: 0,
        slow: 0,
        ratios: new Map(),
        wait: LEAST_INTERVAL,
        interval: LEAST_INTERVAL,
        turn: 0,
      };
      this.#experience.set(key, known);
    }
    return known;
  }
}

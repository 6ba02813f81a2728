/**
 * How many threads a call takes: more of them hurt where another program uses their cores, or where two
 * share one core. Now and then a call is made with another number, and the faster one is kept. Bits do not
 * depend on it. Pure: times come from the caller.
 */

/** Calls between two trials: few at first, more as long as the choice holds. */
const LEAST_INTERVAL = 8;
const MOST_INTERVAL = 128;
/** The same while some threads are left out: what keeps them busy may end. */
const MOST_INTERVAL_WITH_FEWER = 32;
/** Another number of threads is taken where it needs less than this of the usual time, twice in a row. */
const BETTER = 0.95;
/** Two calls in a row that take this much more than usual make for a trial at once. */
const SLOWER = 1.25;
/** Calls whose median is the usual time: one that the system interrupted tells little. */
const REMEMBERED = 5;

/** What is known of calls of about as many rows. */
interface Experience {
  /** Threads taken now. */
  threads: number;
  /** Their last times of a row in ms, and the median of them. */
  times: number[];
  usual: number;
  /** Calls in a row that took much more. */
  slow: number;
  /** Trials in a row in which the number of threads tried last was better. */
  wins: number;
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
    return others[known.turn % others.length]!;
  }

  /** Takes note of how long that call took, in ms. */
  record(rows: number, threads: number, ms: number): void {
    if (this.#options.length === 1) return;
    const known = this.#of(rows);
    const time = ms / rows;
    if (threads === known.threads) {
      known.slow = time > SLOWER * known.usual ? known.slow + 1 : 0;
      if (known.slow === 2) {
        known.interval = LEAST_INTERVAL;
        known.wait = 0;
        known.times.splice(0, known.times.length - 1); // those before are of another time
      }
      if (known.times.push(time) > REMEMBERED) known.times.shift();
      known.usual = median(known.times);
    } else if (time > BETTER * known.usual) {
      known.wins = 0;
      known.turn++;
      const most = threads < known.threads ? MOST_INTERVAL : MOST_INTERVAL_WITH_FEWER;
      known.interval = Math.min(2 * known.interval, most);
      known.wait = known.interval;
    } else if (++known.wins < 2) known.wait = 1;
    else {
      Object.assign(known, experience(threads));
      known.times.push(time);
      known.usual = time;
    }
  }

  /** One row, a few, many. */
  #of(rows: number): Experience {
    const key = rows === 1 ? 1 : rows <= 4 ? 2 : 3;
    let known = this.#experience.get(key);
    if (!known) {
      known = experience(this.#options[0]!);
      this.#experience.set(key, known);
    }
    return known;
  }
}

function experience(threads: number): Experience {
  return {
    threads,
    times: [],
    usual: Infinity,
    slow: 0,
    wins: 0,
    wait: LEAST_INTERVAL,
    interval: LEAST_INTERVAL,
    turn: 0,
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

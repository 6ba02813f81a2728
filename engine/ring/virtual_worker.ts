/** The compute of a modelled node: jobs in the order they come, one at a time. */
import type { VirtualClock } from "./virtual_clock.ts";

/** One piece of compute. */
export interface VirtualJob {
  /**
   * Told the moment at which it starts, in ms; returns how many ms it takes, Infinity where it never
   * ends.
   */
  start: (at: number) => number;
  /** Called at its end, when the next job has started. */
  done: () => void;
}

/** A compute thread under the virtual clock. */
export class VirtualWorker {
  readonly #clock: VirtualClock;
  readonly #jobs: VirtualJob[] = [];
  #doneMs = 0;
  #startedAt = 0;

  /** Makes a worker without work. */
  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  /** Whether it has nothing to do. */
  get idle(): boolean {
    return this.#jobs.length === 0;
  }

  /** Milliseconds that it has computed until now. */
  get busyMs(): number {
    return this.#doneMs + (this.idle ? 0 : this.#clock.now() - this.#startedAt);
  }

  /** Queues a job. */
  run(job: VirtualJob): void {
    this.#jobs.push(job);
    if (this.#jobs.length === 1) this.#next();
  }

  #next(): void {
    const job = this.#jobs[0];
    if (job === undefined) return;
    this.#startedAt = this.#clock.now();
    const ms = job.start(this.#startedAt);
    if (ms === Infinity) return;
    this.#clock.after(ms, () => {
      this.#doneMs += ms;
      this.#jobs.shift();
      this.#next();
      job.done();
    });
  }
}

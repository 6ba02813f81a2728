/** The threads of a stage beside the one that runs it: workers that share its memory. */
import { MdiError } from "../error.ts";
import { BEATS, JOB } from "./abi.ts";
import type { KernelMemory } from "./memory.ts";
import type { Kernels } from "./module.ts";
import type { PoolStart } from "./pool_protocol.ts";

/** How long a worker may take to start. */
const START_MS = 30_000;
/** How long a thread may stay away from calls that go on, and how many of them at least. */
const AWAY_MS = 800;
const AWAY_CALLS = 2;

/** Threads 1 and up. Owns their workers. */
export class ThreadPool implements AsyncDisposable {
  #kernels: Kernels;
  #memory: KernelMemory;
  #workers: Worker[];
  #failure: MdiError | undefined;
  /** When each thread was last known to take part, in ms. */
  #seen: number[];

  private constructor(kernels: Kernels, memory: KernelMemory, workers: Worker[]) {
    this.#kernels = kernels;
    this.#memory = memory;
    this.#workers = workers;
    this.#seen = workers.map(() => 0);
  }

  /**
   * Starts `threads - 1` workers.
   * @throws {MdiError} internal where one does not start.
   */
  static async start(
    module: WebAssembly.Module,
    memory: KernelMemory,
    kernels: Kernels,
    threads: number,
  ): Promise<ThreadPool> {
    const workers: Worker[] = [];
    const pool = new ThreadPool(kernels, memory, workers);
    try {
      const started = [];
      for (let thread = 1; thread < threads; thread++) {
        const worker = new Worker(new URL("./pool_worker.ts", import.meta.url), { type: "module" });
        workers.push(worker);
        pool.#seen.push(0);
        started.push(pool.#begin(worker, { module, memory: memory.memory, thread }));
      }
      await Promise.all(started);
      return pool;
    } catch (error) {
      await pool[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #begin(worker: Worker, start: PoolStart): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(
      () => reject(new MdiError("internal", "Cannot start a compute thread: no answer")),
      START_MS,
    );
    worker.onmessage = () => resolve();
    worker.onerror = (event) => {
      event.preventDefault();
      this.#failure ??= new MdiError(
        "internal",
        `Compute thread ${start.thread} died: ${event.message}`,
      );
      reject(this.#failure);
    };
    worker.postMessage(start);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Looks whether all threads took part lately: one that closed itself raises no event.
   * @throws {MdiError} internal where one has died.
   */
  check(): void {
    const { words } = this.#memory;
    const call = words[JOB / 4]!;
    const now = performance.now();
    for (let i = 0; i < this.#seen.length; i++) {
      const joined = words[(BEATS + 64 * (i + 1) + 4) / 4]!;
      if (call - joined < AWAY_CALLS) this.#seen[i] = now;
      else if (now - this.#seen[i]! > AWAY_MS) {
        this.#failure ??= new MdiError(
          "internal",
          `Compute thread ${i + 1} has stopped answering`,
        );
      }
    }
    if (this.#failure) throw this.#failure;
  }

  /** Ends the threads. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#kernels.stop();
    for (const worker of this.#workers) worker.terminate();
    return Promise.resolve();
  }
}

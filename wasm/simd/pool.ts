/** The threads of a stage beside the one that runs it: workers that share its memory. */
import { MdiError } from "../error.ts";
import { BEATS, JOB } from "./abi.ts";
import type { KernelMemory } from "./memory.ts";
import type { Kernels } from "./module.ts";
import { type PoolThread, type StartThread, startThread } from "./pool_thread.ts";

/** How long a thread may stay away from calls that go on, and how many of them at least. */
const AWAY_MS = 800;
const AWAY_CALLS = 2;

/** Threads 1 and up. Owns them. */
export class ThreadPool implements AsyncDisposable {
  #kernels: Kernels;
  #memory: KernelMemory;
  #threads: PoolThread[] = [];
  #failure: MdiError | undefined;
  /** When each thread was last known to take part, in ms. */
  #seen: number[];

  private constructor(kernels: Kernels, memory: KernelMemory, threads: number) {
    this.#kernels = kernels;
    this.#memory = memory;
    this.#seen = new Array(threads - 1).fill(0);
  }

  /**
   * Starts `threads - 1` threads.
   * @param start where they are started from; this thread where absent.
   * @throws {MdiError} internal where one does not start.
   */
  static async start(
    module: WebAssembly.Module,
    memory: KernelMemory,
    kernels: Kernels,
    threads: number,
    start: StartThread = startThread,
  ): Promise<ThreadPool> {
    const pool = new ThreadPool(kernels, memory, threads);
    const starting = Array.from({ length: threads - 1 }, async (_, i) => {
      const thread = i + 1;
      pool.#threads.push(
        await start({ module, memory: memory.memory, thread }, (message) => {
          pool.#failure ??= new MdiError("internal", `Compute thread ${thread} died: ${message}`);
        }),
      );
    });
    const failed = (await Promise.allSettled(starting)).find(({ status }) => status === "rejected");
    if (!failed) return pool;
    await pool[Symbol.asyncDispose]();
    throw pool.#failure ?? (failed as PromiseRejectedResult).reason;
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
    for (const thread of this.#threads) thread.end();
    return Promise.resolve();
  }
}

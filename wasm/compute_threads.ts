/**
 * Threads of a stage that lives in the compute worker, started by the thread that owns that worker: in Deno 2.9 the
 * event loop of a worker's own worker wakes twice a second only, so that it would take a second to start.
 */
import { instantiateKernels } from "./simd/module.ts";
import type { PoolStart } from "./simd/pool_protocol.ts";
import { notStarted, type PoolThread, type StartThread, startThread } from "./simd/pool_thread.ts";
import type { WorkerEvent, WorkerRequest } from "./worker_protocol.ts";

/** What became of a thread, as the compute worker is told. */
export type ThreadNews = WorkerRequest & { op: "thread" };
/** What the compute worker wants of threads. */
export type ThreadWish = WorkerEvent & { event: "startThread" | "endThread" };

/** The compute worker's side. */
export class RemoteThreads {
  #tell: (wish: ThreadWish) => void;
  #threads = new Map<number, { resolve(): void; died(message: string): void }>();

  /** @param tell carries wishes to the other side. */
  constructor(tell: (wish: ThreadWish) => void) {
    this.#tell = tell;
  }

  /** Has a thread started. */
  readonly start: StartThread = async (start, died) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const { thread } = start;
    this.#threads.set(thread, {
      resolve,
      died(message) {
        died(message);
        reject(notStarted(message));
      },
    });
    this.#tell({ event: "startThread", start });
    await promise;
    return {
      end: () => {
        this.#threads.delete(thread);
        this.#tell({ event: "endThread", thread });
      },
    };
  };

  /** The other side has news. */
  hear({ thread, died }: ThreadNews): void {
    const known = this.#threads.get(thread);
    if (died === null) known?.resolve();
    else known?.died(died);
  }
}

/** The owner's side: whatever becomes of the compute worker, its threads end with this. */
export class OwnedThreads implements Disposable {
  #tell: (news: ThreadNews) => void;
  #threads = new Map<number, PoolThread>();
  /** What a thread was started with: all of them have one module and one memory. */
  #start: PoolStart | undefined;
  #ended = false;

  /** @param tell carries news to the compute worker. */
  constructor(tell: (news: ThreadNews) => void) {
    this.#tell = tell;
  }

  /** The compute worker wants something. */
  hear(wish: ThreadWish): void {
    if (wish.event === "startThread") {
      this.#begin(wish.start);
      return;
    }
    this.#threads.get(wish.thread)?.end();
    this.#threads.delete(wish.thread);
  }

  async #begin(start: PoolStart): Promise<void> {
    const { thread } = start;
    this.#start = start;
    const died = (why: string) => this.#tell({ op: "thread", thread, died: why });
    try {
      const started = await startThread(start, died);
      if (this.#ended) return started.end();
      this.#threads.set(thread, started);
      this.#tell({ op: "thread", thread, died: null });
    } catch (error) {
      died((error as Error).message);
    }
  }

  /** Ends all that are left. */
  [Symbol.dispose](): void {
    this.#ended = true;
    // A thread that waits inside the kernels does not hear that its worker is terminated.
    if (this.#start && this.#threads.size > 0) {
      instantiateKernels(this.#start.module, this.#start.memory).stop();
    }
    this.#start = undefined;
    for (const thread of this.#threads.values()) thread.end();
    this.#threads.clear();
  }
}

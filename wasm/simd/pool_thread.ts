/** One thread of a stage's pool, as whoever starts it sees it. */
import { MdiError } from "../error.ts";
import { checkedScript } from "../single_file.ts";
import type { PoolStart } from "./pool_protocol.ts";

/** How long a thread may take to start. */
const START_MS = 30_000;

/** A thread that serves. */
export interface PoolThread {
  /** Ends it, once the kernels were told to stop. */
  end(): void;
}

/**
 * Starts a thread. `died` is called with its error's message where it ends by one, started or not.
 * @throws {MdiError} internal where it does not start.
 */
export type StartThread = (
  start: PoolStart,
  died: (message: string) => void,
) => Promise<PoolThread>;

/** Starts a thread as a worker of this thread. */
export const startThread: StartThread = async (start, died) => {
  const script = checkedScript(new URL("./pool_worker.ts", import.meta.url));
  const worker = new Worker(script, { type: "module" });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(notStarted("no answer")), START_MS);
  worker.onmessage = () => resolve();
  worker.onerror = (event) => {
    event.preventDefault();
    died(event.message);
    reject(notStarted(event.message));
  };
  worker.postMessage(start);
  try {
    await promise;
    return { end: () => worker.terminate() };
  } catch (error) {
    worker.terminate();
    throw error;
  } finally {
    clearTimeout(timer);
  }
};

/** What a thread that does not start is answered with. */
export function notStarted(why: string): MdiError {
  return new MdiError("internal", `Cannot start a compute thread: ${why}`);
}

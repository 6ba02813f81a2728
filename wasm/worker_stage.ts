/** A stage that computes in a worker of its own: the form in which a node uses every stage. */
import type { Candidates } from "./candidates.ts";
import { OwnedThreads } from "./compute_threads.ts";
import { MdiError, type MdiErrorCode } from "./error.ts";
import { Lifeline } from "./lifeline.ts";
import { type Pace, Pacer } from "./pace.ts";
import { checkedScript } from "./single_file.ts";
import type { Backend, Batch, CallTimes, LoadHooks, Stage, StageInfo, StageSpec } from "./stage.ts";
import type {
  Computed,
  Paced,
  WorkerEvent,
  WorkerReply,
  WorkerRequest,
} from "./worker_protocol.ts";

/** What {@linkcode loadWorkerStage} may be given. */
export interface WorkerStageOptions extends LoadHooks {
  /** Ends the load. */
  signal?: AbortSignal;
  /** The slower device that the stage stands for; null where absent, for none. */
  pace?: Pace | null;
}

type Waiting = { resolve(reply: WorkerReply & { ok: true }): void; reject(error: Error): void };

/**
 * Starts a worker and loads a stage in it, as {@linkcode loadStage} of `load_stage.ts` says.
 * @throws {MdiError} what the backend says of the blocks, or internal where the worker dies.
 */
export async function loadWorkerStage(
  backend: Backend,
  spec: StageSpec,
  options: WorkerStageOptions = {},
): Promise<Stage> {
  const { signal } = options;
  signal?.throwIfAborted();
  const worker = new ComputeWorker(options);
  const abort = () => worker.fail(signal!.reason);
  signal?.addEventListener("abort", abort);
  try {
    const reply = await worker.ask({ op: "load", id: 0, backend, spec });
    if (!("info" in reply)) {
      throw new MdiError("internal", "Cannot load a stage: no info in the answer");
    }
    return new WorkerStage(worker, reply.info, spec, options.pace ?? null);
  } catch (error) {
    await worker.terminate();
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/** How long a stage may take to end its threads, in the middle of a computation too. */
const END_MS = 3000;

/** The worker and the requests that wait for it. */
class ComputeWorker {
  #worker = new Worker(checkedScript(new URL("./worker.ts", import.meta.url)), {
    type: "module",
  });
  #waiting = new Map<number, Waiting>();
  #next = 1;
  #failure: Error | undefined;
  /** Resolves when nobody is left to wait for: the worker is dead, or has ended its threads. */
  #ended = Promise.withResolvers<void>();
  readonly #threads = new OwnedThreads((news) => this.#worker.postMessage(news));
  #lifeline = new Lifeline(() => this.#die("it closed itself without an error"));

  constructor(hooks: LoadHooks) {
    const { far } = this.#lifeline;
    this.#worker.postMessage({ op: "hold", lifeline: far } satisfies WorkerRequest, [far]);
    this.#worker.onmessage = (event: MessageEvent<WorkerReply | WorkerEvent>) => {
      const reply = event.data;
      if ("event" in reply) return this.#hear(reply, hooks);
      if ("disposed" in reply) return this.#ended.resolve();
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if (reply.ok) waiting?.resolve(reply);
      else waiting?.reject(new MdiError(reply.code as MdiErrorCode, reply.message, reply));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#die(event.message);
    };
  }

  #hear(event: WorkerEvent, { onPack, askRoom }: LoadHooks): void {
    if (event.event === "pack") return onPack?.(event.done, event.total);
    if (event.event !== "room") return this.#threads.hear(event);
    // Answered whatever has happened: a load that is to end waits for it.
    const answer = (refusal: string | null) =>
      this.#worker.postMessage({ op: "room", refusal } satisfies WorkerRequest);
    (askRoom?.(event.bytes) ?? Promise.resolve(null)).then(answer, (error) => {
      this.fail(error as Error);
      answer(null);
    });
  }

  #die(why: string): void {
    this.fail(new MdiError("internal", `The compute worker died: ${why}`));
    this.#ended.resolve();
    this.#release();
  }

  #release(): void {
    this.#lifeline[Symbol.dispose]();
    this.#threads[Symbol.dispose]();
    this.#worker.terminate();
  }

  ask(
    request: WorkerRequest & { id: number },
    transfer: Transferable[] = [],
  ): Promise<WorkerReply & { ok: true }> {
    if (this.#failure) return Promise.reject(this.#failure);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...request, id }, transfer);
    });
  }

  tell(request: WorkerRequest): void {
    if (!this.#failure) this.#worker.postMessage(request);
  }

  /** Rejects everything that waits and everything that will be asked. */
  fail(reason: Error): void {
    this.#failure ??= reason;
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }

  /** Ends the worker; its stage first ends the threads that it has, which nothing else would end. */
  async terminate(): Promise<void> {
    this.fail(new MdiError("cancelled", "The stage was closed"));
    const timer = setTimeout(this.#ended.resolve, END_MS);
    this.#worker.postMessage({ op: "dispose", id: 0 } satisfies WorkerRequest);
    await this.#ended.promise;
    clearTimeout(timer);
    this.#release();
  }
}

class WorkerStage implements Stage {
  readonly info: StageInfo;
  readonly lastCall: CallTimes = { start: 0, end: 0 };
  #worker: ComputeWorker;
  #spec: StageSpec;
  #pacer: Pacer | null;
  #computeMs = 0;
  /** Memory for logits, which are large: shared, and used again. */
  #logits = new Float32Array(new SharedArrayBuffer(0));

  constructor(worker: ComputeWorker, info: StageInfo, spec: StageSpec, pace: Pace | null) {
    this.#worker = worker;
    this.info = pace ? { ...info, paced: true } : info;
    this.#spec = spec;
    this.#pacer = pace ? new Pacer(pace, spec.range) : null;
  }

  open(sample: number, capacity: number): void {
    this.#worker.tell({ op: "open", sample, capacity });
  }

  truncate(sample: number, length: number): void {
    this.#worker.tell({ op: "truncate", sample, length });
  }

  release(sample: number): void {
    this.#worker.tell({ op: "release", sample });
  }

  forward(batch: Batch): Promise<Float32Array> {
    const rows = batch.segments.reduce((sum, segment) => sum + segment.rows, 0);
    return this.#rows({ op: "forward", id: 0, batch, ...this.#paced("forward", rows) });
  }

  async logits(hidden: Float32Array, out?: Float32Array): Promise<Float32Array> {
    const { dModel, vocab } = this.#spec;
    const values = hidden.length / dModel * vocab;
    if (this.#logits.length < values) {
      this.#logits = new Float32Array(new SharedArrayBuffer(4 * values));
    }
    const shared = this.#logits.subarray(0, values);
    const paced = this.#paced("head", hidden.length / dModel);
    await this.#rows({ op: "logits", id: 0, hidden, out: shared, ...paced });
    if (!out) return shared;
    out.set(shared);
    return out;
  }

  async candidates(hidden: Float32Array, count: number): Promise<Candidates> {
    const asked = performance.now();
    const paced = this.#paced("head", hidden.length / this.#spec.dModel);
    const reply = await this.#worker.ask({ op: "candidates", id: 0, hidden, count, ...paced });
    if (!("candidates" in reply)) {
      throw new MdiError("internal", "Cannot compute: no candidates in the answer");
    }
    this.#computed(reply, asked);
    return reply.candidates;
  }

  async #rows(request: WorkerRequest & { id: number }): Promise<Float32Array> {
    const asked = performance.now();
    const reply = await this.#worker.ask(request);
    if (!("rows" in reply)) throw new MdiError("internal", "Cannot compute: no rows in the answer");
    this.#computed(reply, asked);
    return reply.rows;
  }

  /** When a call that is made now may be answered. */
  #paced(call: "forward" | "head", rows: number): Paced {
    return this.#pacer ? { until: this.#pacer[call](rows) } : {};
  }

  /** Takes a call's times over, in this thread's clock; between question and answer, whatever that says. */
  #computed({ computeMs, started, ended }: Computed, asked: number): void {
    const { lastCall } = this;
    this.#computeMs = this.#pacer?.ms ?? computeMs;
    lastCall.end = Math.min(ended - performance.timeOrigin, performance.now());
    lastCall.start = Math.max(started - performance.timeOrigin, asked);
    if (lastCall.start > lastCall.end) lastCall.start = lastCall.end;
  }

  computeMs(): number {
    return this.#computeMs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}

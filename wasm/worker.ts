/**
 * The compute thread: one stage, requests executed in the order they come. ONNX Runtime blocks the
 * thread it runs on, and a blocked socket thread answers no pings and is taken for dead.
 */
/// <reference lib="deno.worker" />
import { MdiError, messageOf } from "./error.ts";
import { RemoteThreads } from "./compute_threads.ts";
import { loadStage } from "./load_stage.ts";
import { sharedNow, sleepUntil } from "./pace.ts";
import type { LoadHooks, Stage } from "./stage.ts";
import type { Computed, WorkerEvent, WorkerReply, WorkerRequest } from "./worker_protocol.ts";

const scope = self as unknown as DedicatedWorkerGlobalScope;
let stage: Stage | undefined;
let last: Promise<void> = Promise.resolve();
/** What tells the other side, by going with this thread, that it is gone. */
const held: MessagePort[] = [];

const threads = new RemoteThreads(tell);
let answerRoom: (refusal: string | null) => void = () => {};
const hooks: LoadHooks = {
  onPack: (done, total) => tell({ event: "pack", done, total }),
  askRoom: (bytes) => {
    const { promise, resolve } = Promise.withResolvers<string | null>();
    answerRoom = resolve;
    tell({ event: "room", bytes });
    return promise;
  },
};

scope.onmessage = (event: MessageEvent<WorkerRequest>) => {
  const request = event.data;
  // The load that waits for it is what others wait for.
  if (request.op === "room") return answerRoom(request.refusal);
  if (request.op === "thread") return threads.hear(request);
  last = last.then(() => execute(request));
};

async function execute(request: Exclude<WorkerRequest, { op: "room" | "thread" }>): Promise<void> {
  if (!("id" in request)) {
    if (request.op === "open") stage?.open(request.sample, request.capacity);
    else if (request.op === "truncate") stage?.truncate(request.sample, request.length);
    else if (request.op === "release") stage?.release(request.sample);
    else held.push(request.lifeline);
    return;
  }
  try {
    if (request.op === "load") {
      stage = await loadStage(request.backend, request.spec, {
        ...hooks,
        startThread: threads.start,
      });
      reply({ id: request.id, ok: true, info: stage.info });
      return;
    }
    if (request.op === "dispose") {
      await stage?.[Symbol.asyncDispose]();
      stage = undefined;
      reply({ id: request.id, ok: true, disposed: true });
      return;
    }
    if (!stage) throw new MdiError("internal", "Cannot compute: no stage is loaded");
    const started = sharedNow();
    if (request.op === "candidates") {
      const candidates = await stage.candidates(request.hidden, request.count);
      if (request.until !== undefined) sleepUntil(request.until);
      reply({ id: request.id, ok: true, candidates, ...computed(stage, started) });
      return;
    }
    const rows = request.op === "forward"
      ? await stage.forward(request.batch)
      : await stage.logits(request.hidden, request.out);
    if (request.until !== undefined) sleepUntil(request.until);
    reply({ id: request.id, ok: true, rows, ...computed(stage, started) });
  } catch (error) {
    reply({
      id: request.id,
      ok: false,
      code: error instanceof MdiError ? error.code : "internal",
      message: messageOf(error),
      details: error instanceof MdiError ? error.details : {},
    });
  }
}

function computed(stage: Stage, started: number): Computed {
  return { computeMs: stage.computeMs(), started, ended: sharedNow() };
}

function tell(event: WorkerEvent): void {
  scope.postMessage(event);
}

function reply(message: WorkerReply): void {
  const buffer = "rows" in message ? message.rows.buffer : undefined;
  // What is shared is not moved.
  scope.postMessage(message, buffer instanceof ArrayBuffer ? [buffer] : []);
}

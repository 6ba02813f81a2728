/**
 * The compute thread: one stage, requests executed in the order they come. ONNX Runtime blocks the
 * thread it runs on, and a blocked socket thread answers no pings and is taken for dead.
 */
/// <reference lib="deno.worker" />
import { MdiError, messageOf } from "./error.ts";
import { loadStage } from "./load_stage.ts";
import type { Stage } from "./stage.ts";
import type { WorkerReply, WorkerRequest } from "./worker_protocol.ts";

const scope = self as unknown as DedicatedWorkerGlobalScope;
let stage: Stage | undefined;
let last: Promise<void> = Promise.resolve();

scope.onmessage = (event: MessageEvent<WorkerRequest>) => {
  const request = event.data;
  last = last.then(() => execute(request));
};

async function execute(request: WorkerRequest): Promise<void> {
  if (!("id" in request)) {
    if (request.op === "open") stage?.open(request.sample, request.capacity);
    else if (request.op === "truncate") stage?.truncate(request.sample, request.length);
    else stage?.release(request.sample);
    return;
  }
  try {
    if (request.op === "load") {
      stage = await loadStage(request.backend, request.spec);
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
    if (request.op === "candidates") {
      const candidates = await stage.candidates(request.hidden, request.count);
      reply({ id: request.id, ok: true, candidates, computeMs: stage.computeMs() });
      return;
    }
    const rows = request.op === "forward"
      ? await stage.forward(request.batch)
      : await stage.logits(request.hidden, request.out);
    reply({ id: request.id, ok: true, rows, computeMs: stage.computeMs() });
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

function reply(message: WorkerReply): void {
  const buffer = "rows" in message ? message.rows.buffer : undefined;
  // What is shared is not moved.
  scope.postMessage(message, buffer instanceof ArrayBuffer ? [buffer] : []);
}

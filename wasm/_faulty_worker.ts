/** The compute thread with faults: the release of a sample that cannot be asks for one. */
/// <reference lib="deno.worker" />
import "./worker.ts";
import type { WorkerRequest } from "./worker_protocol.ts";

/** Closes itself and says nothing. */
const CLOSE = -1;
/** Is as busy as a slow device may be, for longer than any silence that is an error. */
const BUSY = -2;
const BUSY_MS = 1500;

self.addEventListener("message", ({ data }: MessageEvent<WorkerRequest>) => {
  if (data.op !== "release") return;
  if (data.sample === BUSY) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BUSY_MS);
  if (data.sample === CLOSE) self.close();
});

/** What the socket thread and the compute thread say to each other. */
import type { Candidates } from "./candidates.ts";
import type { PoolStart } from "./simd/pool_protocol.ts";
import type { Backend, Batch, StageInfo, StageSpec } from "./stage.ts";

/** A request; those without an id are not answered. */
export type WorkerRequest =
  | { op: "load"; id: number; backend: Backend; spec: StageSpec }
  | { op: "forward"; id: number; batch: Batch } & Paced
  | { op: "logits"; id: number; hidden: Float32Array; out: Float32Array<SharedArrayBuffer> } & Paced
  | { op: "candidates"; id: number; hidden: Float32Array; count: number } & Paced
  | { op: "dispose"; id: number }
  | { op: "hold"; lifeline: MessagePort }
  | { op: "room"; refusal: string | null }
  | { op: "thread"; thread: number; died: string | null }
  | { op: "open"; sample: number; capacity: number }
  | { op: "truncate"; sample: number; length: number }
  | { op: "release"; sample: number };

/** A call that a slower device is emulated for. */
export interface Paced {
  /** When it may be answered, in ms since the epoch; at once where absent. */
  until?: number;
}

/**
 * What a load tells and asks before it is answered, see {@linkcode LoadHooks}, and which threads the stage needs;
 * `room` is answered by the like request, `startThread` by `thread` once it serves, and again where it dies.
 */
export type WorkerEvent =
  | { event: "pack"; done: number; total: number }
  | { event: "room"; bytes: number }
  | { event: "startThread"; start: PoolStart }
  | { event: "endThread"; thread: number };

/**
 * An answer to the request of that id. `computeMs` is the stage's total so far; `started` and `ended` say
 * when this call computed, in ms since the epoch by the worker's clock.
 */
export type WorkerReply =
  | { id: number; ok: true; info: StageInfo }
  | { id: number; ok: true; disposed: true }
  | { id: number; ok: true; rows: Float32Array } & Computed
  | { id: number; ok: true; candidates: Candidates } & Computed
  | {
    id: number;
    ok: false;
    code: string;
    message: string;
    details: Readonly<Record<string, string | number | boolean>>;
  };

/** What an answer tells of its own call. */
export interface Computed {
  computeMs: number;
  started: number;
  ended: number;
}

/** What the socket thread and the compute thread say to each other. */
import type { Candidates } from "./candidates.ts";
import type { Backend, Batch, StageInfo, StageSpec } from "./stage.ts";

/** A request; those without an id are not answered. */
export type WorkerRequest =
  | { op: "load"; id: number; backend: Backend; spec: StageSpec }
  | { op: "forward"; id: number; batch: Batch }
  | { op: "logits"; id: number; hidden: Float32Array; out: Float32Array<SharedArrayBuffer> }
  | { op: "candidates"; id: number; hidden: Float32Array; count: number }
  | { op: "dispose"; id: number }
  | { op: "hold"; lifeline: MessagePort }
  | { op: "room"; refusal: string | null }
  | { op: "open"; sample: number; capacity: number }
  | { op: "truncate"; sample: number; length: number }
  | { op: "release"; sample: number };

/** What a load tells and asks before it is answered, see {@linkcode LoadHooks}; `room` is answered by the like request. */
export type WorkerEvent =
  | { event: "pack"; done: number; total: number }
  | { event: "room"; bytes: number };

/** An answer to the request of that id. `computeMs` is the stage's total so far. */
export type WorkerReply =
  | { id: number; ok: true; info: StageInfo }
  | { id: number; ok: true; disposed: true }
  | { id: number; ok: true; rows: Float32Array; computeMs: number }
  | { id: number; ok: true; candidates: Candidates; computeMs: number }
  | {
    id: number;
    ok: false;
    code: string;
    message: string;
    details: Readonly<Record<string, string | number | boolean>>;
  };

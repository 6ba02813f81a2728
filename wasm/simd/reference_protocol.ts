/** What the comparison asks of ONNX Runtime, and the answer. */
import type { StageSpec } from "../stage.ts";
import type { Probe } from "./compare.ts";

/** Loads a stage of one block and asks it. */
export interface ReferenceRequest {
  spec: StageSpec;
  probe: Probe;
}

/** What it said; `code` is an MdiError's. */
export type ReferenceReply =
  | { ok: true; answers: Float32Array[] }
  | { ok: false; code: string; message: string };

/** What is said between {@linkcode importInWorker} and its worker. */
import type { MdiErrorCode } from "../wasm/error.ts";
import type { ImportProgress } from "./model/import.ts";
import type { OnnxDtype } from "./model/onnx/model_files.ts";
import type { Manifest } from "./model/types.ts";

/** To the worker: one "import", at any time "abort", and at last "release". */
export type ImportRequest =
  | {
    op: "import";
    /** The model's files. */
    path: string;
    /** The store's directory and its limit. */
    root: string;
    limitBytes: number | null;
    name: string | undefined;
    dtype: OnnxDtype | undefined;
    tokenizerDir: string | undefined;
  }
  | { op: "abort" }
  /** The manifest has been pinned by whoever asked. */
  | { op: "release" };

/** From the worker: progress and notes, then "manifest" and after its release "ended", or "failed". */
export type ImportReply =
  | { type: "progress"; progress: ImportProgress }
  | { type: "note"; message: string }
  | { type: "manifest"; manifest: Manifest }
  | { type: "ended" }
  | {
    type: "failed";
    code: MdiErrorCode;
    message: string;
    details: Readonly<Record<string, string | number | boolean>>;
  };

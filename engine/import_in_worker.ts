/** Cutting a model in a thread that takes its memory with it. */
import { MdiError } from "../wasm/error.ts";
import { checkedScript } from "../wasm/single_file.ts";
import type { ImportReply, ImportRequest } from "./import_protocol.ts";
import type { ImportProgress } from "./model/import.ts";
import type { OnnxDtype } from "./model/onnx/model_files.ts";
import type { Manifest } from "./model/types.ts";
import type { Pin } from "./store/pin.ts";
import { manifestId } from "./store/records.ts";
import type { Store } from "./store/store.ts";

/** How {@linkcode importInWorker} goes about it. */
export interface ImportInWorkerOptions {
  /** Where the blocks go. */
  store: Store;
  /** Keeps what is used from being collected. */
  pin?: Pin | undefined;
  /** What people call the model; undefined for the name of its file. */
  name?: string | undefined;
  /** Which file of an ONNX export. */
  dtype?: OnnxDtype | undefined;
  /** Directory of the tokenizer files, where the model's own has none. */
  tokenizerDir?: string | undefined;
  /** Ends it; what is whole stays. */
  signal?: AbortSignal | undefined;
  /** Called before each block. */
  onProgress?: ((progress: ImportProgress) => void) | undefined;
}

/** How long a cancelled import may take to tidy up. */
const ABORT_MS = 2000;

/**
 * Opens the model at `path` and makes sure that its blocks are in the store.
 * @throws {MdiError} as `openModel()` and `importModel()`; the signal's reason.
 */
export async function importInWorker(
  path: string,
  options: ImportInWorkerOptions,
): Promise<Manifest> {
  const { store, pin, name, dtype, tokenizerDir, signal } = options;
  signal?.throwIfAborted();
  const worker = new ImportWorker(options);
  const onAbort = () => worker.abort();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const manifest = await worker.import({
      op: "import",
      path,
      root: store.layout.root,
      limitBytes: store.limitBytes,
      name,
      dtype,
      tokenizerDir,
    });
    await pin?.add(
      manifestId(manifest),
      manifest.textHash,
      ...manifest.blocks.map((block) => block.hash),
    );
    await worker.release();
    signal?.throwIfAborted();
    return manifest;
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
    worker.terminate();
  }
}

class ImportWorker {
  #worker = new Worker(checkedScript(new URL("./import_worker.ts", import.meta.url)), {
    type: "module",
  });
  #manifest = Promise.withResolvers<Manifest>();
  #ended = Promise.withResolvers<void>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor({ store, onProgress }: Pick<ImportInWorkerOptions, "store" | "onProgress">) {
    this.#ended.promise.catch(() => {}); // the manifest's promise rejects too
    this.#worker.onmessage = ({ data }: MessageEvent<ImportReply>) => {
      if (data.type === "progress") onProgress?.(data.progress);
      else if (data.type === "note") store.layout.onNote?.(data.message);
      else if (data.type === "manifest") this.#manifest.resolve(data.manifest);
      else if (data.type === "ended") this.#ended.resolve();
      else this.#fail(new MdiError(data.code, data.message, { details: data.details }));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new MdiError("internal", `The import worker died: ${event.message}`));
    };
  }

  import(request: ImportRequest & { op: "import" }): Promise<Manifest> {
    this.#worker.postMessage(request);
    return this.#manifest.promise;
  }

  /** Lets go of what the worker pins, and waits for it. */
  release(): Promise<void> {
    this.#worker.postMessage({ op: "release" } satisfies ImportRequest);
    return this.#ended.promise;
  }

  /** The worker's own answer is awaited, so that it leaves nothing half-written, but not for long. */
  abort(): void {
    this.#worker.postMessage({ op: "abort" } satisfies ImportRequest);
    this.#timer = setTimeout(
      () => this.#fail(new MdiError("cancelled", "The import was cancelled")),
      ABORT_MS,
    );
  }

  terminate(): void {
    clearTimeout(this.#timer);
    this.#worker.terminate();
  }

  #fail(error: MdiError): void {
    this.#manifest.reject(error);
    this.#ended.reject(error);
  }
}

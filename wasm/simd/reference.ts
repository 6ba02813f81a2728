/** Asks ONNX Runtime what blocks answer to probes. */
import { MdiError, type MdiErrorCode } from "../error.ts";
import { checkedScript } from "../single_file.ts";
import type { StageSpec } from "../stage.ts";
import type { Probe } from "./compare.ts";
import type { ReferenceReply, ReferenceRequest } from "./reference_protocol.ts";

/** How long an answer may take: loading ONNX Runtime alone takes seconds on a small board. */
const LIMIT_MS = 300_000;

/** ONNX Runtime in a worker, which starts with the first question. Owns the worker. */
export class Reference implements Disposable {
  #worker: Worker | undefined;

  /**
   * Runs a stage of one block; one question at a time.
   * @throws {MdiError} what ONNX Runtime says of the block; internal where it does not answer.
   */
  async ask(spec: StageSpec, probe: Probe): Promise<Float32Array[]> {
    const worker = this.#worker ??= new Worker(
      checkedScript(new URL("./reference_worker.ts", import.meta.url)),
      { type: "module" },
    );
    const { promise, resolve, reject } = Promise.withResolvers<ReferenceReply>();
    const fail = (why: string) =>
      reject(new MdiError("internal", `Cannot compare with ONNX Runtime: ${why}`));
    const timer = setTimeout(() => fail("it does not answer"), LIMIT_MS);
    worker.onmessage = ({ data }: MessageEvent<ReferenceReply>) => resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      fail(event.message);
    };
    try {
      worker.postMessage({ spec, probe } satisfies ReferenceRequest);
      const reply = await promise;
      if (reply.ok) return reply.answers;
      throw new MdiError(reply.code as MdiErrorCode, reply.message);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the worker, and with it gives back its memory. */
  [Symbol.dispose](): void {
    this.#worker?.terminate();
  }
}

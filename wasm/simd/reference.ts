/** Asks ONNX Runtime what a block answers to a probe. */
import { MdiError, type MdiErrorCode } from "../error.ts";
import type { StageSpec } from "../stage.ts";
import type { Probe } from "./compare.ts";
import type { ReferenceReply, ReferenceRequest } from "./reference_protocol.ts";

/** How long it may take: loading ONNX Runtime alone takes seconds on a small board. */
const LIMIT_MS = 300_000;

/**
 * Runs a stage of one block in a worker of its own.
 * @throws {MdiError} what ONNX Runtime says of the block; internal where it does not answer.
 */
export async function askReference(spec: StageSpec, probe: Probe): Promise<Float32Array[]> {
  const worker = new Worker(new URL("./reference_worker.ts", import.meta.url), { type: "module" });
  const { promise, resolve, reject } = Promise.withResolvers<ReferenceReply>();
  const timer = setTimeout(
    () => reject(new MdiError("internal", "Cannot compare with ONNX Runtime: it does not answer")),
    LIMIT_MS,
  );
  worker.onmessage = ({ data }: MessageEvent<ReferenceReply>) => resolve(data);
  worker.onerror = (event) => {
    event.preventDefault();
    reject(new MdiError("internal", `Cannot compare with ONNX Runtime: ${event.message}`));
  };
  try {
    worker.postMessage({ spec, probe } satisfies ReferenceRequest);
    const reply = await promise;
    if (reply.ok) return reply.answers;
    throw new MdiError(reply.code as MdiErrorCode, reply.message);
  } finally {
    clearTimeout(timer);
    worker.terminate();
  }
}

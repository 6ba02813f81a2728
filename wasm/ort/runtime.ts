/**
 * The only file that names ONNX Runtime: its WebAssembly build, the very version that transformers.js
 * carries, with one thread (more were no faster at decode) and local files only. The package's main entry
 * is its Node build under Deno; the entry "onnxruntime-web/wasm" does not load in a worker.
 */
import * as ort from "onnxruntime-web";
import { MdiError, messageOf } from "../error.ts";

/** One weight given to a session beside its graph. */
export interface ExternalTensor {
  /** The `location` that the graph's initializer names. */
  path: string;
  /** Its bytes; they are detached once the session holds them. */
  data: Uint8Array<ArrayBuffer>;
}

/** A tensor as it goes in and out of a session. */
export type OrtTensor = ort.Tensor;
/** A session: a graph ready to run. */
export type OrtSession = ort.InferenceSession;

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

/**
 * Makes a session and lets go of the given bytes at once, without waiting for a garbage collection:
 * they are the second copy of the weights.
 * @throws {MdiError} model_unsupported with ONNX Runtime's own reason.
 */
export async function createSession(
  what: string,
  graph: Uint8Array,
  weights: ExternalTensor[],
): Promise<OrtSession> {
  try {
    return await ort.InferenceSession.create(graph, {
      executionProviders: ["wasm"],
      graphOptimizationLevel: "all",
      // Patterns are kept per input shape, and the past grows with every token.
      enableMemPattern: false,
      externalData: weights.map(({ path, data }) => ({ path, data })),
    });
  } catch (cause) {
    const reason = messageOf(cause);
    const memory = /alloc|memory|out of bounds/i.test(reason);
    throw new MdiError(
      memory ? "memory" : "model_unsupported",
      `Cannot load ${what} in ONNX Runtime: ${reason}`,
      { cause },
    );
  } finally {
    for (const { data } of weights) data.buffer.transfer(0);
  }
}

/** Makes a tensor over the given memory. */
export function tensor(
  type: "float32" | "float16" | "int64",
  data: Float32Array | Uint16Array | BigInt64Array,
  dims: readonly number[],
): OrtTensor {
  // A Float16Array where the host has it: ONNX Runtime then refuses the bits as Uint16Array.
  const view = type === "float16"
    ? new Float16Array(data.buffer as ArrayBuffer, data.byteOffset, data.length)
    : data;
  return new ort.Tensor(type, view as Float32Array, dims);
}

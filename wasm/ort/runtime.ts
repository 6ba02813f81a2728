/**
 * The only file that names ONNX Runtime: its WebAssembly build, the very version that transformers.js
 * carries, with one thread (more were no faster at decode) and local files only. The package's main entry
 * is its Node build under Deno; the entry "onnxruntime-web/wasm" does not load in a worker.
 */
import * as ort from "onnxruntime-web";
import { readInto } from "../block_file.ts";
import { MdiError, messageOf } from "../error.ts";
import { PageBuffer } from "../page_buffer.ts";
import { checkAsset, checkedScript, SINGLE_FILE } from "../single_file.ts";

/** One weight given to a session beside its graph. */
export interface ExternalTensor {
  /** The `location` that the graph's initializer names. */
  path: string;
  /** Its bytes; the session makes a copy. */
  data: Uint8Array<ArrayBuffer>;
}

/** A tensor as it goes in and out of a session. */
export type OrtTensor = ort.Tensor;
/** A session: a graph ready to run. */
export type OrtSession = ort.InferenceSession;

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

let starting: Promise<void> | undefined;

/**
 * Starts ONNX Runtime where that has not been done: its WebAssembly module is compiled, and it opens a
 * message port that stays open for the life of the process.
 * @throws {MdiError} internal where it does not start.
 */
export function startRuntime(): Promise<void> {
  return starting ??= start();
}

/** Gives ONNX Runtime its code, 14 MB that it would read into the heap and never let go. */
async function start(): Promise<void> {
  // In a single file it lies beside this code, and ONNX Runtime imports it from there.
  if (SINGLE_FILE) checkedScript(new URL("./ort-wasm-simd-threaded.mjs", import.meta.url));
  using code = await readCode();
  if (code) ort.env.wasm.wasmBinary = code.buffer;
  // There is no other way to start it than to ask for a session; an empty model is refused.
  try {
    await ort.InferenceSession.create(new Uint8Array(1));
  } catch (cause) {
    // Its own words where no session of any model can be made.
    const [, why] = /^no available backend found\.(.*)/s.exec(messageOf(cause)) ?? [];
    if (why === undefined) return;
    throw new MdiError("internal", `Cannot start ONNX Runtime:${why.replace(/ ERR:/, "")}`, {
      cause,
    });
  } finally {
    delete ort.env.wasm.wasmBinary;
  }
}

/** The module's bytes; undefined where it lies elsewhere than in node_modules: ONNX Runtime looks too. */
async function readCode(): Promise<PageBuffer | undefined> {
  let file: Deno.FsFile;
  let url: URL;
  try {
    url = new URL(import.meta.resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm"));
    file = await Deno.open(url);
  } catch {
    return undefined;
  }
  using opened = file;
  using memory = new DisposableStack();
  // Of the name, as Deno 2.7 cannot ask an open file that lies in a single file.
  const { size } = await Deno.stat(url);
  const pages = memory.use(new PageBuffer(size));
  const code = pages.bytes(0, size);
  if (await readInto(opened, 0, code) < size) return undefined;
  checkAsset(url, code);
  memory.move();
  return pages;
}

/** How a session is made. */
export interface SessionOptions {
  /**
   * Whether the weights of products are laid out anew, which makes products of many rows a fifth faster
   * and those of one row no faster, and needs memory for a second copy of each.
   */
  prepack: boolean;
}

/**
 * Makes a session.
 * @throws {MdiError} model_unsupported with ONNX Runtime's own reason; internal where it does not start at all.
 */
export async function createSession(
  what: string,
  graph: Uint8Array,
  weights: ExternalTensor[],
  options: SessionOptions = { prepack: true },
): Promise<OrtSession> {
  await startRuntime();
  try {
    return await ort.InferenceSession.create(graph, {
      executionProviders: ["wasm"],
      graphOptimizationLevel: "all",
      // Patterns are kept per input shape, and the past grows with every token.
      enableMemPattern: false,
      extra: { session: { disable_prepacking: options.prepack ? "0" : "1" } },
      externalData: weights.map(({ path, data }) => ({ path, data })),
    });
  } catch (cause) {
    const reason = plainReason(messageOf(cause));
    const memory = /alloc|memory|out of bounds/i.test(reason);
    throw new MdiError(
      memory ? "memory" : "model_unsupported",
      `Cannot load ${what} in ONNX Runtime: ${reason}`,
      { cause },
    );
  }
}

/**
 * ONNX Runtime's own sentence out of "Can't create a session. ERROR_CODE: 1, ERROR_MESSAGE: file:line
 * signature(parameters) sentence".
 */
function plainReason(message: string): string {
  return message
    .replace(/^.*?ERROR_MESSAGE: /s, "")
    .replace(/^\/\S+:\d+ .*?\) (?=[A-Z])/s, "")
    .trim();
}

/**
 * Frees an array that ONNX Runtime made, at once: at the rate of tokens garbage collection comes too late.
 */
export function free(array: ArrayBufferView): void {
  (array.buffer as ArrayBuffer).transfer(0);
}

/** Makes a tensor over the given memory. */
export function tensor(
  type: "float32" | "float16" | "int32" | "int64",
  data: Float32Array | Uint16Array | Int32Array | BigInt64Array,
  dims: readonly number[],
): OrtTensor {
  // A Float16Array where the host has it: ONNX Runtime then refuses the bits as Uint16Array.
  const view = type === "float16"
    ? new Float16Array(data.buffer as ArrayBuffer, data.byteOffset, data.length)
    : data;
  return new ort.Tensor(type, view as Float32Array, dims);
}

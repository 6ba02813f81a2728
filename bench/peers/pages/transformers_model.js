/**
 * transformers.js on ONNX Runtime's WebAssembly build, in a page or in Deno: one forward pass at a time,
 * with the cache that it gave the last time, as its own generate() does.
 */
import { AutoModelForCausalLM, env, Tensor } from "@huggingface/transformers";
import { measured } from "../measure.js";

/**
 * Loads an export.
 *
 * @param {{ directory: string, name: string, wasm: string, variant: string, threads: number }} options
 *   the addresses of the directory that the export's directory lies in and of ONNX Runtime's files,
 *   which of its models: "fp32", "q8", "q4" or "genai", and the threads
 */
export async function loadTransformers({ directory, name, wasm, variant, threads }) {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = directory;
  env.useBrowserCache = false;
  env.backends.onnx.wasm.numThreads = threads;
  env.backends.onnx.wasm.wasmPaths = {
    mjs: `${wasm}/ort-wasm-simd-threaded.mjs`,
    wasm: `${wasm}/ort-wasm-simd-threaded.wasm`,
  };
  const files = variant === "genai" ? await genaiFiles(`${directory}${name}`) : { dtype: variant };
  const model = await AutoModelForCausalLM.from_pretrained(name, { ...files, device: "wasm" });
  return {
    description: `transformers.js ${env.version}, ${variant}, ${threads} thread(s)`,
    ...measured(new Cached(model)),
  };
}

/** onnxruntime-genai's builder leaves one model beside its config, and its weights in a second file. */
async function genaiFiles(address) {
  const path = "model.onnx.data";
  const response = await fetch(`${address}/${path}`);
  const data = new Uint8Array(await response.arrayBuffer());
  return { dtype: "fp32", subfolder: "", session_options: { externalData: [{ path, data }] } };
}

/** A model with its cache. The cache of every length that was truncated to is kept. */
class Cached {
  #model;
  #past = null;
  #length = 0;
  #kept = new Map();

  constructor(model) {
    this.#model = model;
  }

  truncate(length) {
    if (length === 0) this.#past = null;
    else if (this.#kept.has(length)) this.#past = this.#kept.get(length);
    else throw new Error(`no cache of ${length} tokens was kept`);
    this.#length = length;
  }

  async feed(ids) {
    const before = this.#length;
    const length = before + ids.length;
    const outputs = await this.#model({
      input_ids: longs(ids),
      attention_mask: longs(Array(length).fill(1)),
      position_ids: longs(ids.map((_, i) => before + i)),
      past_key_values: this.#past,
    });
    const presents = Object.entries(outputs).filter(([name]) => name.startsWith("present"));
    this.#past = Object.fromEntries(
      presents.map(([name, tensor]) => [name.replace("present", "past_key_values"), tensor]),
    );
    this.#length = length;
    if (ids.length > 1) this.#kept.set(length, this.#past);
  }
}

function longs(values) {
  return new Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
}

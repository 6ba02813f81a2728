/**
 * Native llama.cpp as node-llama-cpp's prebuilt packages ship it, called through its C interface: what
 * llama-bench does, without a layer of JavaScript in the times.
 * Source: llama.h, ggml-backend.h and ggml-cpu.h of llama.cpp v0.5.0, of which 3.22.1 is built.
 */
import { join } from "node:path";

/** Version of llama.cpp in the package. */
export const LLAMA_CPP_VERSION = "v0.5.0";

/** Directory of the shared objects for this machine. */
export const LIBRARIES = (() => {
  const platform = `linux-${Deno.build.arch === "x86_64" ? "x64" : "arm64"}`;
  const packages = join(import.meta.dirname!, "packages/node_modules/@node-llama-cpp");
  return join(packages, platform, "bins", platform);
})();

/** llama_batch: n_tokens, token, embd, pos, n_seq_id, seq_id, logits. */
const BATCH = {
  struct: ["i32", "pointer", "pointer", "pointer", "pointer", "pointer", "pointer"],
} as const;
const BATCH_BYTES = 56;

/**
 * Parameter structs, with more room than they need: both calling conventions pass structs of this size
 * in memory, so the callee fills or reads its part and nobody looks at the rest.
 */
const PARAMS = { struct: Array<Deno.NativeType>(40).fill("u64") };
const THREADPOOL_PARAMS = { struct: Array<Deno.NativeType>(96).fill("u64") };

/** llama_context_params begins with n_ctx, n_batch, n_ubatch. */
const [N_CTX, N_BATCH, N_UBATCH] = [0, 1, 2];

/** n_batch by default. */
const MAX_BATCH = 2048;

/** How a model is loaded. */
export interface LlamaOptions {
  /** Tokens that the cache holds. */
  context: number;
  /** Threads for decode and prefill. */
  threads: number;
}

/** A model, a context and its one sequence; everything else is as llama.cpp has it by default. */
export class Llama {
  /** Length of a row of logits. */
  readonly vocab: number;
  /** What the libraries say of themselves and the CPU. */
  readonly systemInfo: string;
  readonly #llama: ReturnType<typeof openLibraries>["llama"];
  readonly #model: Deno.PointerObject;
  readonly #context: Deno.PointerObject;
  // Batches point here: fields, so that they stay where they are.
  readonly #tokens = new Int32Array(MAX_BATCH);
  readonly #flags = new Int8Array(MAX_BATCH).fill(1);

  /** @throws {Error} where llama.cpp cannot load the file. */
  constructor(path: string, { context, threads }: LlamaOptions) {
    const { llama, ggml, base } = openLibraries();
    this.#llama = llama;
    llama.llama_backend_init();
    ggml.ggml_backend_load_all_from_path(cString(LIBRARIES));
    const model = llama.llama_model_load_from_file(
      cString(path),
      llama.llama_model_default_params(),
    );
    if (!model) throw new Error(`llama.cpp cannot load ${path}`);
    const params = llama.llama_context_default_params();
    const words = new Int32Array(params.buffer);
    if (words[N_CTX] !== 512 || words[N_BATCH] !== MAX_BATCH || words[N_UBATCH] !== 512) {
      throw new Error("llama_context_params is not laid out as in llama.cpp v0.5.0");
    }
    words[N_CTX] = context;
    const made = llama.llama_init_from_model(model, params);
    if (!made) throw new Error(`llama.cpp cannot make a context of ${context} tokens`);
    this.#model = model;
    this.#context = made;
    llama.llama_set_n_threads(made, threads, threads);
    if (threads > 1) {
      // Without a pool of its own, every graph starts and ends threads; llama-bench makes one too.
      const pool = newThreadpool(ggml, base.ggml_threadpool_params_default(threads));
      llama.llama_attach_threadpool(made, pool, pool);
    }
    this.vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model));
    this.systemInfo = new Deno.UnsafePointerView(llama.llama_print_system_info()!).getCString();
  }

  /** Keeps the first tokens of the cache. */
  truncate(length: number): void {
    this.#llama.llama_memory_seq_rm(this.#llama.llama_get_memory(this.#context), 0, length, -1);
  }

  /**
   * Appends tokens to the cache.
   * @param every whether to compute the logits of all of them and not of the last only.
   */
  decode(ids: readonly number[], every = false): void {
    if (ids.length > MAX_BATCH) throw new RangeError(`Cannot decode ${ids.length} tokens at once`);
    this.#tokens.set(ids);
    const batch = new BigUint64Array(BATCH_BYTES / 8);
    batch[0] = BigInt(ids.length);
    batch[1] = addressOf(this.#tokens);
    if (every) batch[6] = addressOf(this.#flags);
    const status = this.#llama.llama_decode(this.#context, batch);
    if (status !== 0) throw new Error(`llama_decode() gave ${status}`);
    // Asking for logits waits for the computation.
    if (!this.#llama.llama_get_logits_ith(this.#context, -1)) {
      throw new Error("llama_decode() gave no logits");
    }
  }

  /** Logits of a row of the last batch: a copy. Rows are those that logits were computed of. */
  logits(row: number): Float32Array {
    const pointer = this.#llama.llama_get_logits_ith(this.#context, row);
    if (!pointer) throw new Error(`llama.cpp has no logits of row ${row}`);
    const bytes = new Uint8Array(4 * this.vocab);
    new Deno.UnsafePointerView(pointer).copyInto(bytes);
    return new Float32Array(bytes.buffer);
  }

  /** Frees the context and the model. */
  close(): void {
    this.#llama.llama_free(this.#context);
    this.#llama.llama_model_free(this.#model);
  }
}

function openLibraries() {
  const open = <T extends Deno.ForeignLibraryInterface>(start: string, functions: T) => {
    const name = [...Deno.readDirSync(LIBRARIES)].find((entry) => entry.name.startsWith(start))
      ?.name;
    return Deno.dlopen(join(LIBRARIES, name ?? start), functions).symbols;
  };
  return {
    llama: open("libllama.", {
      llama_backend_init: { parameters: [], result: "void" },
      llama_model_default_params: { parameters: [], result: PARAMS },
      llama_context_default_params: { parameters: [], result: PARAMS },
      llama_model_load_from_file: { parameters: ["buffer", PARAMS], result: "pointer" },
      llama_init_from_model: { parameters: ["pointer", PARAMS], result: "pointer" },
      llama_model_free: { parameters: ["pointer"], result: "void" },
      llama_free: { parameters: ["pointer"], result: "void" },
      llama_set_n_threads: { parameters: ["pointer", "i32", "i32"], result: "void" },
      llama_attach_threadpool: { parameters: ["pointer", "pointer", "pointer"], result: "void" },
      llama_get_memory: { parameters: ["pointer"], result: "pointer" },
      llama_memory_seq_rm: { parameters: ["pointer", "i32", "i32", "i32"], result: "bool" },
      llama_decode: { parameters: ["pointer", BATCH], result: "i32" },
      llama_get_logits_ith: { parameters: ["pointer", "i32"], result: "pointer" },
      llama_model_get_vocab: { parameters: ["pointer"], result: "pointer" },
      llama_vocab_n_tokens: { parameters: ["pointer"], result: "i32" },
      llama_print_system_info: { parameters: [], result: "pointer" },
    }),
    ggml: open("libggml.", {
      ggml_backend_load_all_from_path: { parameters: ["buffer"], result: "void" },
      ggml_backend_reg_by_name: { parameters: ["buffer"], result: "pointer" },
      ggml_backend_reg_get_proc_address: { parameters: ["pointer", "buffer"], result: "pointer" },
    }),
    base: open("libggml-base.", {
      ggml_threadpool_params_default: { parameters: ["i32"], result: THREADPOOL_PARAMS },
    }),
  };
}

function newThreadpool(
  ggml: ReturnType<typeof openLibraries>["ggml"],
  params: Uint8Array<ArrayBuffer>,
): Deno.PointerObject {
  const cpu = ggml.ggml_backend_reg_by_name(cString("CPU"));
  const address = ggml.ggml_backend_reg_get_proc_address(cpu, cString("ggml_threadpool_new"));
  if (!address) throw new Error("llama.cpp has no ggml_threadpool_new()");
  const type = { parameters: ["buffer"], result: "pointer" } as const;
  const make = new Deno.UnsafeFnPointer(address as Deno.PointerObject<typeof type>, type);
  const pool = make.call(params);
  if (!pool) throw new Error("llama.cpp cannot make a pool of threads");
  return pool;
}

function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}

function addressOf(values: Int32Array | Int8Array): bigint {
  return Deno.UnsafePointer.value(Deno.UnsafePointer.of(values as Int32Array<ArrayBuffer>));
}

/** wllama 2.4.0: llama.cpp in WebAssembly, fed token by token. */
import { Wllama } from "wllama-2";
import { measured } from "../measure.js";
import { modelBlob, serve } from "./serve.js";

const ESM = "/packages/node_modules/wllama-2/esm";

let figures;

serve({
  async load({ threads, context }) {
    const wllama = new Wllama({
      "single-thread/wllama.wasm": `${ESM}/single-thread/wllama.wasm`,
      "multi-thread/wllama.wasm": `${ESM}/multi-thread/wllama.wasm`,
    }, { suppressNativeLog: true });
    await wllama.loadModel([await modelBlob()], {
      n_threads: threads,
      n_ctx: context,
      n_batch: 512,
    });
    figures = measured({
      truncate: (length) => length === 0 ? wllama.kvClear() : wllama.kvRemove(length, -1),
      feed: (ids) => wllama.decode(ids, {}),
    });
    return { description: `wllama 2.4.0, ${wllama.isMultithread() ? threads : 1} thread(s)` };
  },
  decode: (at, tokens) => figures.decode(at, tokens),
  prefill: (tokens) => figures.prefill(tokens),
});

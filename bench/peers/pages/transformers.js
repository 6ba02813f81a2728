/** transformers.js in a page. */
import { loadTransformers } from "./transformers_model.js";
import { serve } from "./serve.js";

let model;

serve({
  async load({ threads, variant }) {
    const wasm = "/packages/node_modules/onnxruntime-web/dist";
    model = await loadTransformers({ directory: "/", name: "model", wasm, variant, threads });
    return { description: `${model.description}, in Chromium` };
  },
  decode: (at, tokens) => model.decode(at, tokens),
  prefill: (tokens) => model.prefill(tokens),
});

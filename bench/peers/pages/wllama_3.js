/**
 * wllama 3.8.1: it has completions of strings only, so the prompt is a word that is one token, repeated,
 * and the figures are those that the llama-server within gives: the time of the prompt, and the time from
 * the first sampled token to the last, greedy.
 */
import { Wllama } from "wllama-3";
import { modelBlob, serve } from "./serve.js";

const ESM = "/packages/node_modules/wllama-3/esm";

let wllama;

serve({
  async load({ threads, context }) {
    wllama = new Wllama({ default: `${ESM}/wasm/wllama.wasm` }, { suppressNativeLog: true });
    await wllama.loadModel([await modelBlob()], {
      n_threads: threads,
      n_ctx: context,
      n_parallel: 1,
      n_gpu_layers: 0,
      warmup: false,
    });
    return { description: `wllama 3.8.1, ${wllama.getNumThreads()} thread(s)` };
  },
  async decode(at, tokens) {
    // The first token comes of the prompt.
    const timings = await complete(at, tokens + 1, true);
    if (timings.predicted_n !== tokens + 1) throw new Error(`${timings.predicted_n} tokens came`);
    return timings.predicted_ms / tokens;
  },
  async prefill(tokens) {
    const timings = await complete(tokens, 1, false);
    if (timings.prompt_n !== tokens) throw new Error(`the prompt had ${timings.prompt_n} tokens`);
    return timings.prompt_ms;
  },
});

async function complete(prompt, tokens, cached) {
  const { timings } = await wllama.createCompletion({
    prompt: " hello".repeat(prompt),
    max_tokens: tokens,
    temperature: 0,
    ignore_eos: true,
    cache_prompt: cached,
    stream: false,
  });
  return timings;
}

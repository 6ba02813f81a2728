/**
 * Perplexity of a GGUF file's model in mdi and in native llama.cpp, on the same tokens.
 *
 *     deno run -A bench/peers/perplexity.ts --model FILE.gguf [--backend simd] [--threads 1]
 *         [--tokenize]
 *
 * The text is the beginning of Moby-Dick (Melville, 1851). Its first 2,048 tokens are cut into windows of
 * 512 that do not overlap; every token of a window but the first is scored. `--tokenize` writes the ids
 * anew, with the tokenizer of the file.
 */
import { parseArgs } from "node:util";
import { openModel } from "../../engine/model/open.ts";
import { createTokenizer } from "../../engine/text/tokenizer.ts";
import type { Backend } from "../../wasm/stage.ts";
import { keep, print } from "../report.ts";
import { Llama, LLAMA_CPP_VERSION } from "./llama_cpp.ts";
import { MdiModel } from "./mdi_stage.ts";

const TEXT = new URL("perplexity_text.txt", import.meta.url);
const IDS = new URL("perplexity_ids.txt", import.meta.url);
const TOKENS = 2048;
const WINDOW = 512;
/** Rows that mdi computes at once: their logits are held. */
const CHUNK = 64;

const { values: options } = parseArgs({
  args: Deno.args,
  options: {
    model: { type: "string" },
    backend: { type: "string", default: "simd" },
    threads: { type: "string", default: "1" },
    tokenize: { type: "boolean", default: false },
  },
});
if (!options.model) throw new TypeError("Give a model with --model FILE.gguf");
const threads = Number(options.threads);
if (options.tokenize) await tokenize(options.model);

const windows = (await Deno.readTextFile(IDS)).trimEnd().split("\n")
  .map((line) => line.split(" ").map(Number));
const native = ofLlamaCpp(options.model);
const own = await ofMdi(options.model);
const difference = own / native - 1;
await print(`${windows.length} windows of ${WINDOW} tokens
llama.cpp ${LLAMA_CPP_VERSION}: ${native.toFixed(4)}
mdi ${options.backend}: ${own.toFixed(4)}, ${(100 * difference).toFixed(3)} % from llama.cpp's`);
await keep("perplexity", { backend: options.backend, threads, native, mdi: own, difference });

/** Writes the ids, one window a line. */
async function tokenize(path: string): Promise<void> {
  await using source = await openModel(path);
  const ids = createTokenizer(source.text).encode(await Deno.readTextFile(TEXT));
  if (ids.length < TOKENS) throw new Error(`The text has ${ids.length} tokens only`);
  const lines = Array.from(
    { length: TOKENS / WINDOW },
    (_, i) => `${ids.slice(i * WINDOW, (i + 1) * WINDOW).join(" ")}\n`,
  );
  await Deno.writeTextFile(IDS, lines.join(""));
}

function ofLlamaCpp(path: string): number {
  const llama = new Llama(path, { context: WINDOW, threads });
  let sum = 0;
  for (const window of windows) {
    llama.truncate(0);
    llama.decode(window, true);
    for (let i = 0; i + 1 < WINDOW; i++) sum += surprise(llama.logits(i), window[i + 1]!);
  }
  llama.close();
  return Math.exp(sum / (windows.length * (WINDOW - 1)));
}

async function ofMdi(path: string): Promise<number> {
  const backend = options.backend as Backend;
  await using model = await MdiModel.load(path, { backend, threads, context: WINDOW });
  let sum = 0;
  for (const window of windows) {
    model.truncate(0);
    for (let at = 0; at < WINDOW; at += CHUNK) {
      const logits = await model.feed(window.slice(at, at + CHUNK));
      const vocab = logits.length / CHUNK;
      for (let i = 0; i < CHUNK && at + i + 1 < WINDOW; i++) {
        sum += surprise(logits.subarray(i * vocab, (i + 1) * vocab), window[at + i + 1]!);
      }
    }
  }
  return Math.exp(sum / (windows.length * (WINDOW - 1)));
}

/** -ln of the probability of a token. */
function surprise(logits: Float32Array, id: number): number {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - most), 0);
  return Math.log(sum) + most - logits[id]!;
}

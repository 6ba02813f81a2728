/**
 * transformers.js in Deno as a peer. It runs with `packages/import_map.json` in the place of the project's
 * deno.json: its web build, on the plain WebAssembly build of ONNX Runtime.
 */
import { basename, dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { measured } from "./measure.js";
import { servePeer } from "./runner.ts";

let model: ReturnType<typeof measured> | undefined;

await servePeer({
  async load({ model: path, threads, variant }) {
    // Not a literal: the project's own check knows nothing of what it imports.
    const script = join(import.meta.dirname!, "pages/transformers_model.js");
    const { loadTransformers } = await import(pathToFileURL(script).href);
    const wasm = join(import.meta.dirname!, "packages/node_modules/onnxruntime-web/dist");
    const loaded = await loadTransformers({
      directory: `${pathToFileURL(dirname(resolve(path)))}/`,
      name: basename(path),
      wasm: pathToFileURL(wasm).href,
      variant,
      threads,
    });
    model = loaded;
    return { description: `${loaded.description}, in Deno` };
  },
  decode: (at, tokens) => model!.decode(at, tokens),
  prefill: (tokens) => model!.prefill(tokens),
  close: () => Promise.resolve(),
});

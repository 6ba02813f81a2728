/** One node of mdi as a peer. */
import type { Backend } from "../../wasm/stage.ts";
import { MdiModel } from "./mdi_stage.ts";
import { measured } from "./measure.js";
import { servePeer } from "./runner.ts";

let loaded: MdiModel | undefined;
let figures: ReturnType<typeof measured> | undefined;

await servePeer({
  async load({ model: path, threads, context, variant }) {
    const backend = (variant ?? "auto") as Backend;
    const model = await MdiModel.load(path, { backend, threads, context });
    loaded = model;
    figures = measured({
      truncate: (length) => model.truncate(length),
      feed: (ids) => model.next(ids),
    });
    return { description: model.description };
  },
  decode: (at, tokens) => figures!.decode(at, tokens),
  prefill: (tokens) => figures!.prefill(tokens),
  close: async () => await loaded?.[Symbol.asyncDispose](),
});

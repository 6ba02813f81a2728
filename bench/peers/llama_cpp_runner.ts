/** Native llama.cpp as a peer. */
import { Llama, LLAMA_CPP_VERSION } from "./llama_cpp.ts";
import { measured } from "./measure.js";
import { servePeer } from "./runner.ts";

let llama: Llama | undefined;
let figures: ReturnType<typeof measured> | undefined;

await servePeer({
  load({ model, threads, context }) {
    const loaded = new Llama(model, { threads, context });
    llama = loaded;
    figures = measured({
      truncate: (length) => loaded.truncate(length),
      feed: (ids) => loaded.decode(ids),
    });
    return Promise.resolve({
      description: `llama.cpp ${LLAMA_CPP_VERSION}, ${loaded.systemInfo.trim()}`,
    });
  },
  decode: (at, tokens) => figures!.decode(at, tokens),
  prefill: (tokens) => figures!.prefill(tokens),
  close() {
    llama?.close();
    return Promise.resolve();
  },
});

/** From flags to the options of a node. */
import type { NodeOptions } from "../rpc/ring_options.ts";
import type { RootOptions } from "./program.ts";

/** The flags that every node has for itself. */
export function nodeOptions(options: RootOptions): NodeOptions {
  const { listen, name, token, backend, threads, pace, memory, storeLimit } = options;
  return {
    ...(listen !== undefined && { listen }),
    ...(name !== undefined && { name }),
    ...(token !== undefined && { token }),
    ...(backend !== undefined && { backend }),
    ...(threads !== undefined && { threads }),
    ...(pace !== undefined && { pace }),
    ...(memory !== undefined && { memoryBytes: memory }),
    ...(storeLimit !== undefined && { storeLimitBytes: storeLimit }),
  };
}

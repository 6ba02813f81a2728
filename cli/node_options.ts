/** From flags to the options of a node, and of a starter. */
import type { RingOptions } from "../rpc/open_ring.ts";
import type { NodeOptions } from "../rpc/ring_options.ts";
import type { RootOptions } from "./program.ts";

/** Flags that a node has for itself. */
export type NodeFlags = Pick<
  RootOptions,
  "listen" | "name" | "token" | "backend" | "threads" | "pace" | "memory" | "storeLimit"
>;

/** Flags of a starter that {@linkcode ringOptions} takes. */
export type StarterFlags =
  & NodeFlags
  & Pick<
    RootOptions,
    | ("model" | "dtype" | "tokenizer" | "context")
    | ("peers" | "advertise" | "wire" | "kv" | "slots")
  >;

/** The flags that every node has for itself. */
export function nodeOptions(options: NodeFlags): NodeOptions {
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

/** The flags of a starter that say which nodes and which model, beside its own node's. */
export function ringOptions(options: StarterFlags): RingOptions {
  const { model, dtype, tokenizer, peers, advertise, wire, kv, slots, context } = options;
  return {
    ...nodeOptions(options),
    ...(model !== undefined && { model }),
    ...(dtype !== undefined && { dtype }),
    ...(tokenizer !== undefined && { tokenizer }),
    ...(peers !== undefined && { peers }),
    ...(advertise !== undefined && { advertise }),
    ...(wire !== undefined && { wire }),
    ...(kv !== undefined && { kv }),
    ...(slots !== undefined && { slots }),
    ...(context !== undefined && { context }),
  };
}

/** What the tests of the store and of import share. */
import { createHash } from "node:crypto";
import type { Manifest, ModelConfig } from "../model/types.ts";
import { openStore, type Store, type StoreOptions } from "./store.ts";

/** Runs a test with a store in a directory that is removed afterwards. */
export async function withStore(
  fn: (store: Store, dir: string) => Promise<void>,
  options: StoreOptions = {},
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mdi-store-" });
  try {
    await fn(await openStore(dir, options), dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Bytes that look random and depend on the seed alone. */
export function noise(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** The sha256 of bytes in hex. */
export function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The shape of a decoder of one layer that nothing runs. */
export const TINY_CONFIG: ModelConfig = {
  architecture: "llama",
  layers: 1,
  hidden: 4,
  heads: 1,
  kvHeads: 1,
  headDim: 4,
  intermediate: 8,
  vocab: 16,
  context: 32,
  bosToken: null,
  eosTokens: [],
};

/** A manifest of one layer whose blocks are given by hash and size: embed, layer.0, head. */
export function manifestOf(
  name: string,
  blocks: readonly { hash: string; bytes: number }[],
  textHash: string,
): Manifest {
  const names = ["embed", "layer.0", "head"];
  return {
    version: 1,
    name,
    source: "gguf",
    license: null,
    config: TINY_CONFIG,
    kvBytesPerTokenLayer: 32,
    edges: ["f32", "f32"],
    blocks: names.map((block, i) => ({
      name: block,
      ...blocks[i]!,
      parameters: 1,
      dtypes: ["F32"],
      requires: [],
    })),
    textHash,
  };
}

/** Stores a model of three blocks of noise; equal seeds give equal blocks. */
export async function putModel(
  store: Store,
  name: string,
  seeds: readonly [number, number, number],
  bytes = 1000,
): Promise<{ id: string; manifest: Manifest }> {
  const blocks = [];
  for (const seed of seeds) blocks.push(await store.putNew([noise(bytes, seed)]));
  const text = { tokenizer: { name }, tokenizerConfig: {}, sampling: {} };
  const manifest = manifestOf(name, blocks, await store.putText(text));
  return { id: await store.putManifest(manifest), manifest };
}

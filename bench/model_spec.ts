/** A model file as what one stage of all of it is loaded from. */
import { importModel } from "../engine/model/import.ts";
import { openModel } from "../engine/model/open.ts";
import { openStore } from "../engine/store/store.ts";
import { blocksFor } from "../rpc/configuration.ts";
import type { StageSpec } from "../wasm/stage.ts";

/** Imports a model into the store at `home`; one thread, f32 caches, packed weights in the store. */
export async function wholeModel(path: string, home: string): Promise<StageSpec> {
  const store = await openStore(home);
  await using source = await openModel(path);
  const manifest = await importModel(source, store);
  const { hidden: dModel, layers, vocab } = manifest.config;
  const range = { embed: true, layers: [0, layers - 1] as const, head: true };
  return {
    model: manifest.name,
    range,
    blocks: blocksFor(manifest, range.layers, ["embed", "head"])
      .map(({ name, hash }) => ({ name, hash, path: store.path(hash) })),
    dModel,
    vocab,
    memoryBytes: null,
    threads: 1,
    kv: "f32",
    packed: store.layout.packed,
  };
}

/** A model file cut into a store of its own, and what its stages are loaded from. */
import type { Manifest, ModelSource } from "../../engine/model/types.ts";
import { importModel } from "../../engine/model/import.ts";
import { openStore, type Store } from "../../engine/store/store.ts";
import { blocksFor } from "../../rpc/configuration.ts";
import type { StageRange, StageSpec } from "../../wasm/stage.ts";

/** A model whose blocks lie in a store of its own, which goes when this is disposed. */
export class ImportedModel implements AsyncDisposable {
  readonly manifest: Manifest;
  readonly store: Store;

  private constructor(manifest: Manifest, store: Store) {
    this.manifest = manifest;
    this.store = store;
  }

  /** Cuts a model. */
  static async from(source: ModelSource): Promise<ImportedModel> {
    const directory = await Deno.makeTempDir({ prefix: "mdi-test-" });
    try {
      const store = await openStore(directory);
      return new ImportedModel(await importModel(source, store), store);
    } catch (error) {
      await Deno.remove(directory, { recursive: true });
      throw error;
    }
  }

  /** What a stage of these blocks is loaded from. */
  spec(range: StageRange, memoryBytes: number | null = null): StageSpec {
    const { name, config } = this.manifest;
    const ends = [...(range.embed ? ["embed"] : []), ...(range.head ? ["head"] : [])];
    return {
      model: name,
      range,
      blocks: blocksFor(this.manifest, range.layers, ends)
        .map(({ name, hash }) => ({ name, path: this.store.path(hash), hash })),
      dModel: config.hidden,
      vocab: config.vocab,
      memoryBytes,
      threads: 1,
      kv: "f32",
      packed: null,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.store.layout.root, { recursive: true });
  }
}

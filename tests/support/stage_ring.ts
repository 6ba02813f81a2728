/** Models loaded as stages on the test's own thread, the way a ring's nodes load them, without the ring. */
import type { Manifest } from "../../engine/model/types.ts";
import { argmax } from "./numbers.ts";
import type { ImportedModel } from "./imported_model.ts";
import type { Stage, StageRange, StageSpec } from "../../wasm/stage.ts";

const SAMPLE = 0;

/** How a {@linkcode StageRing} is loaded. */
export interface StageRingOptions {
  /**
   * The first layer of each stage but the first; the first holds embed and head too.
   * @default {[]}
   */
  cuts?: readonly number[];
  /** As {@linkcode StageSpec.memoryBytes}. */
  memoryBytes?: number | null;
  /** How a stage is loaded: {@linkcode loadOrt} of `ort_stage.ts`, {@linkcode loadSimd} of `simd_stage.ts`. */
  load: (spec: StageSpec) => Promise<Stage>;
}

/** One sample over stages that are called one after another. */
export class StageRing implements AsyncDisposable {
  readonly stages: readonly Stage[];
  readonly #manifest: Manifest;
  readonly #owned: AsyncDisposableStack;
  #length = 0;

  private constructor(stages: Stage[], manifest: Manifest, owned: AsyncDisposableStack) {
    this.stages = stages;
    this.#manifest = manifest;
    this.#owned = owned;
    this.reset();
  }

  /** Loads the stages of a model. */
  static async load(model: ImportedModel, options: StageRingOptions): Promise<StageRing> {
    const { cuts = [], memoryBytes = null, load } = options;
    await using owned = new AsyncDisposableStack();
    const stages: Stage[] = [];
    const bounds = [0, ...cuts, model.manifest.config.layers];
    for (const [i, first] of bounds.slice(0, -1).entries()) {
      const last = bounds[i + 1]! - 1;
      const range: StageRange = {
        embed: i === 0,
        layers: last < first ? null : [first, last],
        head: i === 0,
      };
      stages.push(owned.use(await load(model.spec(range, memoryBytes))));
    }
    return new StageRing(stages, model.manifest, owned.move());
  }

  /** Values in a hidden row. */
  get width(): number {
    return this.#manifest.config.hidden;
  }

  /** Empties the caches. */
  reset(): void {
    for (const stage of this.stages) {
      stage.release(SAMPLE);
      stage.open(SAMPLE, this.#manifest.config.context);
    }
    this.#length = 0;
  }

  /** Runs a chunk of ids through all layers. @returns its hidden rows. */
  async forward(ids: readonly number[]): Promise<Float32Array> {
    const segments = [{ sample: SAMPLE, position: this.#length, rows: ids.length }];
    let hidden: Float32Array | undefined;
    for (const stage of this.stages) {
      hidden = await stage.forward(
        hidden ? { segments, hidden } : { segments, ids: Int32Array.from(ids) },
      );
    }
    this.#length += ids.length;
    return hidden!;
  }

  /** Logits [rows, vocab] of hidden rows. */
  async logits(hidden: Float32Array): Promise<Float32Array> {
    return await this.stages[0]!.logits(hidden);
  }

  /** The likeliest token after a chunk of ids. */
  async next(ids: readonly number[]): Promise<number> {
    const hidden = await this.forward(ids);
    return argmax(await this.logits(hidden.slice(-this.width)));
  }

  /** The likeliest `count` tokens after a prompt, from empty caches. */
  async greedy(prompt: readonly number[], count: number): Promise<number[]> {
    this.reset();
    const ids: number[] = [];
    for (let i = 0; i < count; i++) ids.push(await this.next(i === 0 ? prompt : ids.slice(-1)));
    return ids;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

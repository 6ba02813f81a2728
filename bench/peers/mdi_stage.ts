/** A model as one stage in a worker, the way a node holds it, without a ring. */
import type { Backend, Stage } from "../../wasm/stage.ts";
import { loadWorkerStage } from "../../wasm/worker_stage.ts";
import { wholeModel } from "../model_spec.ts";

/** Id of the only sample. */
const SAMPLE = 0;

/** How a model is loaded. */
export interface MdiOptions {
  backend: Backend;
  threads: number;
  /** Tokens that the cache holds. */
  context: number;
}

/** One sample on one stage. */
export class MdiModel implements AsyncDisposable {
  readonly #stage: Stage;
  readonly #dModel: number;
  readonly #owned: AsyncDisposableStack;
  #length = 0;

  private constructor(stage: Stage, dModel: number, owned: AsyncDisposableStack) {
    this.#stage = stage;
    this.#dModel = dModel;
    this.#owned = owned;
  }

  /** Imports a model into a store of its own, which goes when this is disposed, and loads it. */
  static async load(path: string, options: MdiOptions): Promise<MdiModel> {
    await using owned = new AsyncDisposableStack();
    const home = await Deno.makeTempDir({ prefix: "mdi-bench-" });
    owned.defer(() => Deno.remove(home, { recursive: true }));
    // Nothing is kept, so that no comparison with ONNX Runtime comes before the load.
    const spec = { ...await wholeModel(path, home), packed: null, threads: options.threads };
    const { dModel } = spec;
    const stage = owned.use(await loadWorkerStage(options.backend, spec));
    stage.open(SAMPLE, options.context);
    return new MdiModel(stage, dModel, owned.move());
  }

  /** What it computes with, and what the stage says of it. */
  get description(): string {
    const { backend, threads, notes } = this.#stage.info;
    return [`mdi ${backend}, ${threads} thread(s)`, ...notes].join("; ");
  }

  /** Keeps the first tokens of the cache. */
  truncate(length: number): void {
    this.#stage.truncate(SAMPLE, length);
    this.#length = length;
  }

  /** Appends tokens. @returns the id of the largest logit of the last, as greedy generation wants it. */
  async next(ids: readonly number[]): Promise<number> {
    const hidden = await this.#forward(ids);
    const { ids: best } = await this.#stage.candidates(hidden.slice(-this.#dModel), 1);
    return best[0]!;
  }

  /** Appends tokens. @returns the logits of all of them: used again by the next call. */
  async feed(ids: readonly number[]): Promise<Float32Array> {
    return await this.#stage.logits(await this.#forward(ids));
  }

  async #forward(ids: readonly number[]): Promise<Float32Array> {
    const segments = [{ sample: SAMPLE, position: this.#length, rows: ids.length }];
    const hidden = await this.#stage.forward({ segments, ids: Int32Array.from(ids) });
    this.#length += ids.length;
    return hidden;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

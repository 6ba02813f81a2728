/**
 * The `ort` stage: any cut graph in ONNX Runtime's WebAssembly build. The segments of a batch run one
 * after another, so a row's bits never depend on its company; batching gains nothing here.
 */
import type { ModelProto } from "../gen/onnx/onnx_pb.ts";
import { OpenBlocks } from "../block_file.ts";
import { MdiError } from "../error.ts";
import type { Batch, Stage, StageInfo, StageSpec } from "../stage.ts";
import { loadEmbedTable } from "./embed_table.ts";
import { joinBlocks } from "./join.ts";
import { type SampleCache, SessionRunner } from "./session_runner.ts";
import { expandedBytesOf, planWeights, type WeightPlan } from "./weights.ts";

/** Turns token ids into hidden rows [ids, d_model] outside of the session. */
export type Embedder = (ids: Int32Array) => Float32Array;

/**
 * Loads a stage.
 * @throws {MdiError} model_corrupt, model_unsupported, memory
 */
export async function loadOrtStage(spec: StageSpec): Promise<Stage> {
  using blocks = await OpenBlocks.open(spec.blocks);
  await using owned = new AsyncDisposableStack();
  const notes: string[] = [];
  const table = spec.range.embed ? await loadEmbedTable(blocks, spec.dModel) : undefined;
  const body = bodyBlocks(spec, table !== undefined);
  const plans = planSessions(spec, blocks, body, notes);

  let runner: SessionRunner | undefined;
  if (plans.body) {
    runner = owned.use(
      await SessionRunner.load(`${spec.model} ${describe(body)}`, plans.body, blocks, spec.dModel),
    );
  }
  let head: SessionRunner | undefined;
  if (plans.head) {
    head = owned.use(await SessionRunner.load(`${spec.model} head`, plans.head, blocks, spec.dModel));
  }
  const info: StageInfo = {
    backend: "ort",
    threads: 1,
    weightBytes: (table?.bytes ?? 0) + (runner?.weightBytes ?? 0) + (head?.weightBytes ?? 0),
    kvBytesPerToken: runner?.kvBytesPerToken ?? 0,
    notes,
  };
  return new OrtStage(info, spec, table?.embed, runner, head, owned.move());
}

class OrtStage implements Stage {
  readonly info: StageInfo;
  #spec: StageSpec;
  #embed: Embedder | undefined;
  #runner: SessionRunner | undefined;
  #head: SessionRunner | undefined;
  #owned: AsyncDisposableStack;
  #caches = new Map<number, SampleCache>();
  #computeMs = 0;

  constructor(
    info: StageInfo,
    spec: StageSpec,
    embed: Embedder | undefined,
    runner: SessionRunner | undefined,
    head: SessionRunner | undefined,
    owned: AsyncDisposableStack,
  ) {
    this.info = info;
    this.#spec = spec;
    this.#embed = embed;
    this.#runner = runner;
    this.#head = head;
    this.#owned = owned;
  }

  open(sample: number, capacity: number): void {
    const cache = this.#caches.get(sample);
    if (cache) cache.capacity = capacity;
    else this.#caches.set(sample, { length: 0, capacity, tensors: new Map() });
  }

  truncate(sample: number, length: number): void {
    const cache = this.#caches.get(sample);
    if (!cache) return;
    if (this.#runner) this.#runner.truncate(cache, length);
    else cache.length = Math.min(cache.length, length);
  }

  release(sample: number): void {
    this.#caches.delete(sample);
  }

  async forward({ segments, ids, hidden }: Batch): Promise<Float32Array> {
    const start = performance.now();
    const d = this.#spec.dModel;
    const parts: Float32Array[] = [];
    let row = 0;
    for (const segment of segments) {
      const cache = this.#caches.get(segment.sample);
      if (!cache || cache.length !== segment.position) {
        throw new MdiError(
          "protocol",
          `Cannot compute sample ${segment.sample} at position ${segment.position}: its cache ${
            cache ? `holds ${cache.length} tokens` : "is not open"
          }`,
        );
      }
      if (segment.position + segment.rows > cache.capacity) {
        throw new MdiError(
          "protocol",
          `Cannot compute sample ${segment.sample}: ${segment.rows} rows at ${segment.position} exceed its capacity of ${cache.capacity} tokens`,
        );
      }
      let rows: Int32Array | Float32Array = ids
        ? ids.subarray(row, row + segment.rows)
        : hidden!.subarray(row * d, (row + segment.rows) * d);
      row += segment.rows;
      if (this.#embed && rows instanceof Int32Array) rows = this.#embed(rows);
      if (this.#runner) rows = await this.#runner.run(rows, cache);
      else cache.length += segment.rows;
      parts.push(rows as Float32Array);
    }
    this.#computeMs += performance.now() - start;
    return parts.length === 1 ? parts[0]! : concatenate(parts);
  }

  async logits(hidden: Float32Array): Promise<Float32Array> {
    const start = performance.now();
    if (!this.#head) throw new TypeError("Cannot compute logits: the stage was loaded without a head");
    // Row by row, so that the bits of one sample's logits do not depend on how many come with it.
    const d = this.#spec.dModel;
    const parts: Float32Array[] = [];
    for (let at = 0; at < hidden.length; at += d) {
      parts.push(await this.#head.run(hidden.subarray(at, at + d)));
    }
    this.#computeMs += performance.now() - start;
    return parts.length === 1 ? parts[0]! : concatenate(parts);
  }

  computeMs(): number {
    return this.#computeMs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#caches.clear();
    await this.#owned.disposeAsync();
  }
}

/** Names of the blocks that make the session before the head. */
function bodyBlocks(spec: StageSpec, hasTable: boolean): string[] {
  const names = spec.range.embed && !hasTable ? ["embed"] : [];
  if (spec.range.layers) {
    for (let i = spec.range.layers[0]; i <= spec.range.layers[1]; i++) names.push(`layer.${i}`);
  }
  return names;
}

/** Joins the graphs and decides whether their weights are expanded: all or none. */
function planSessions(
  spec: StageSpec,
  blocks: OpenBlocks,
  body: string[],
  notes: string[],
): { body: WeightPlan | undefined; head: WeightPlan | undefined } {
  const join = (names: string[]): ModelProto | undefined =>
    names.length > 0
      ? joinBlocks(names.map((name) => ({ name, model: blocks.header(name).model })))
      : undefined;
  const graphs = [join(body), join(spec.range.head ? ["head"] : [])];
  const expanded = graphs.reduce((sum, graph) => sum + (graph ? expandedBytesOf(graph) : 0), 0);
  // While a session is made its weights exist twice.
  const expand = spec.memoryBytes === null || 2 * expanded <= spec.memoryBytes;
  const [bodyPlan, headPlan] = graphs.map((graph) => graph && planWeights(graph, { expand }));
  const bytes = (bodyPlan?.expandedBytes ?? 0) + (headPlan?.expandedBytes ?? 0);
  if (bytes > 0) {
    notes.push(
      `weights expanded to f32 (${megabytes(bytes)}), because ONNX Runtime's WebAssembly build is about 25 times slower on quantised ones`,
    );
  } else if (expanded > 0) {
    notes.push(
      `weights kept quantised and slow: expanding them takes ${megabytes(2 * expanded)} while loading, ${
        megabytes(spec.memoryBytes!)
      } are free`,
    );
  }
  return { body: bodyPlan, head: headPlan };
}

function describe(names: string[]): string {
  return names.length === 1 ? names[0]! : `${names[0]} to ${names.at(-1)}`;
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`;
}

function concatenate(parts: Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

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
import { type CachePart, SessionRunner } from "./session_runner.ts";
import { expandedBytesOf, planWeights, type WeightPlan } from "./weights.ts";

/** Turns token ids into hidden rows [ids, d_model] outside of the session. */
export type Embedder = (ids: Int32Array) => Float32Array;

/**
 * Weights of one session of layers, about. While a session is made its weights exist twice in the
 * WebAssembly memory, which never shrinks, so fewer bytes a session waste less; each further session
 * costs a little at every token.
 */
const SESSION_BYTES = 48e6;
/** Memory while weights are loaded, as a multiple of the weights. */
const LOAD_PEAK = 1.5;

/**
 * Loads a stage.
 * @throws {MdiError} model_corrupt, model_unsupported, memory
 */
export async function loadOrtStage(spec: StageSpec): Promise<Stage> {
  using blocks = await OpenBlocks.open(spec.blocks);
  await using owned = new AsyncDisposableStack();
  const notes: string[] = [];
  const table = spec.range.embed ? await loadEmbedTable(blocks, spec.dModel) : undefined;
  const plans = planSessions(spec, blocks, bodyBlocks(spec, table !== undefined), notes);

  // The largest first: what it needed only while it was made serves those that follow.
  let head: SessionRunner | undefined;
  if (plans.head) {
    head = owned.use(
      await SessionRunner.load(`${spec.model} head`, plans.head, blocks, spec.dModel),
    );
  }
  const body: SessionRunner[] = [];
  for (const { what, plan } of plans.body) {
    body.push(
      owned.use(await SessionRunner.load(`${spec.model} ${what}`, plan, blocks, spec.dModel)),
    );
  }
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
  const info: StageInfo = {
    backend: "ort",
    threads: 1,
    weightBytes: (table?.bytes ?? 0) + (head?.weightBytes ?? 0) +
      sum(body.map((it) => it.weightBytes)),
    kvBytesPerToken: sum(body.map((it) => it.kvBytesPerToken)),
    notes,
  };
  return new OrtStage(info, spec, table?.embed, body, head, owned.move());
}

/** The cache of one sample: a part for each session. */
interface SampleCache {
  /** Tokens held. */
  length: number;
  /** Tokens that it may hold. */
  capacity: number;
  parts: CachePart[];
}

class OrtStage implements Stage {
  readonly info: StageInfo;
  #spec: StageSpec;
  #embed: Embedder | undefined;
  #body: SessionRunner[];
  #head: SessionRunner | undefined;
  #owned: AsyncDisposableStack;
  #caches = new Map<number, SampleCache>();
  #computeMs = 0;

  constructor(
    info: StageInfo,
    spec: StageSpec,
    embed: Embedder | undefined,
    body: SessionRunner[],
    head: SessionRunner | undefined,
    owned: AsyncDisposableStack,
  ) {
    this.info = info;
    this.#spec = spec;
    this.#embed = embed;
    this.#body = body;
    this.#head = head;
    this.#owned = owned;
  }

  open(sample: number, capacity: number): void {
    const cache = this.#caches.get(sample);
    if (cache) cache.capacity = capacity;
    else {
      this.#caches.set(sample, { length: 0, capacity, parts: this.#body.map(() => new Map()) });
    }
  }

  truncate(sample: number, length: number): void {
    const cache = this.#caches.get(sample);
    if (!cache || length >= cache.length) return;
    this.#body.forEach((runner, i) => runner.truncate(cache.parts[i]!, cache.length, length));
    cache.length = length;
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
      for (const [i, runner] of this.#body.entries()) {
        rows = await runner.run(rows, cache.length, cache.parts[i]!);
      }
      cache.length += segment.rows;
      parts.push(rows as Float32Array);
    }
    this.#computeMs += performance.now() - start;
    return parts.length === 1 ? parts[0]! : concatenate(parts);
  }

  async logits(hidden: Float32Array): Promise<Float32Array> {
    const start = performance.now();
    if (!this.#head) {
      throw new TypeError("Cannot compute logits: the stage was loaded without a head");
    }
    // Row by row, so that the bits of one sample's logits do not depend on how many come with it.
    const d = this.#spec.dModel;
    const parts: Float32Array[] = [];
    for (let at = 0; at < hidden.length; at += d) {
      parts.push(await this.#head.run(hidden.subarray(at, at + d), 0, new Map()));
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

interface SessionPlans {
  /** In their order. */
  body: { what: string; plan: WeightPlan }[];
  head: WeightPlan | undefined;
}

/** Joins the graphs and decides whether their weights are expanded: all or none. */
function planSessions(
  spec: StageSpec,
  blocks: OpenBlocks,
  body: string[],
  notes: string[],
): SessionPlans {
  const join = (names: string[]): ModelProto =>
    joinBlocks(names.map((name) => ({ name, model: blocks.header(name).model })));
  const all = spec.range.head ? [...body, "head"] : body;
  const expandable = all.reduce((sum, name) => sum + expandedBytesOf(blocks.header(name).model), 0);
  const needed = Math.ceil(LOAD_PEAK * expandable);
  const expand = spec.memoryBytes === null || needed <= spec.memoryBytes;
  const plan = (names: string[]) => planWeights(join(names), { expand });
  const size = (name: string) => plan([name]).jobs.reduce((sum, job) => sum + job.bytes, 0);
  const plans: SessionPlans = {
    body: groupBySize(body, size).map((names) => ({ what: describe(names), plan: plan(names) })),
    head: spec.range.head ? plan(["head"]) : undefined,
  };
  if (expandable > 0) {
    notes.push(
      expand
        ? `weights expanded to f32 (${
          megabytes(expandable)
        }): ONNX Runtime's WebAssembly build is about 25 times slower on quantised ones`
        : `weights kept quantised, which is slow: expanded they would take ${
          megabytes(needed)
        } while loading, and ${megabytes(spec.memoryBytes!)} are free`,
    );
  }
  return plans;
}

/** Cuts a list of blocks into runs of about SESSION_BYTES. */
function groupBySize(names: string[], size: (name: string) => number): string[][] {
  const groups: string[][] = [];
  let bytes = Infinity;
  for (const name of names) {
    const more = size(name);
    if (bytes + more > SESSION_BYTES) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)!.push(name);
    bytes += more;
  }
  return groups;
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

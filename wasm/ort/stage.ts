/**
 * The `ort` stage: any cut graph in ONNX Runtime's WebAssembly build. The segments of a batch run one
 * after another, so a row's bits never depend on its company; batching gains nothing here.
 */
import { type Candidates, takeCandidates } from "../candidates.ts";
import { OpenBlocks } from "../block_file.ts";
import { checkSegment } from "../check_segment.ts";
import type { Batch, Stage, StageInfo, StageSpec } from "../stage.ts";
import { free } from "./runtime.ts";
import { type EmbedTable, planEmbedTable } from "./embed_table.ts";
import { type PlannedSession, planSessions } from "./session_plan.ts";
import { type CachePart, SessionRunner } from "./session_runner.ts";

/**
 * Loads a stage.
 * @param reason why it is not another backend's; see {@linkcode StageInfo.backendReason}.
 * @throws {MdiError} model_corrupt, model_unsupported, memory
 */
export async function loadOrtStage(spec: StageSpec, reason: string | null = null): Promise<Stage> {
  using blocks = await OpenBlocks.open(spec.blocks);
  await using owned = new AsyncDisposableStack();
  const tablePlan = spec.range.embed ? planEmbedTable(blocks, spec.dModel) : undefined;
  const plan = planSessions(spec, blocks, tablePlan?.bytes ?? null);
  const table = tablePlan && owned.use(await tablePlan.load());
  const load = async (session: PlannedSession) =>
    owned.use(await SessionRunner.load(session, blocks, spec.dModel));
  // The largest first: what it needed only while it was made serves those that follow.
  const head = plan.head && await load(plan.head);
  const body: SessionRunner[] = [];
  for (const session of plan.body) body.push(await load(session));
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
  const info: StageInfo = {
    backend: "ort",
    backendReason: reason,
    threads: 1,
    weightBytes: (tablePlan?.bytes ?? 0) + (head?.weightBytes ?? 0) +
      sum(body.map((it) => it.weightBytes)),
    kvBytesPerToken: sum(body.map((it) => it.kvBytesPerToken)),
    kvPageTokens: 1,
    kv: body.some((it) => it.hasHalfCaches) ? "f16" : "f32",
    notes: [
      ...(reason === null ? [] : [`ort (ONNX Runtime) computes, because ${reason}`]),
      ...(reason === null && spec.threads > 1 ? ["one thread computes: ort has no more"] : []),
      ...plan.notes,
    ],
  };
  return new OrtStage(info, spec, table, body, head, owned.move());
}

/** The cache of one sample: a part for each session. */
interface SampleCache {
  /** Tokens held. */
  length: number;
  /** Tokens that it may hold. */
  capacity: number;
  parts: CachePart[];
}

const NO_CACHE: CachePart = new Map();

class OrtStage implements Stage {
  readonly info: StageInfo;
  #spec: StageSpec;
  #table: EmbedTable | undefined;
  #body: SessionRunner[];
  #head: SessionRunner | undefined;
  #owned: AsyncDisposableStack;
  #caches = new Map<number, SampleCache>();
  #computeMs = 0;

  constructor(
    info: StageInfo,
    spec: StageSpec,
    table: EmbedTable | undefined,
    body: SessionRunner[],
    head: SessionRunner | undefined,
    owned: AsyncDisposableStack,
  ) {
    this.info = info;
    this.#spec = spec;
    this.#table = table;
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
    const cache = this.#caches.get(sample);
    if (!cache) return;
    this.#body.forEach((runner, i) => runner.release(cache.parts[i]!));
    this.#caches.delete(sample);
  }

  async forward({ segments, ids, hidden }: Batch): Promise<Float32Array> {
    const start = performance.now();
    const d = this.#spec.dModel;
    const parts: Float32Array[] = [];
    let row = 0;
    for (const segment of segments) {
      const cache = checkSegment(this.#caches.get(segment.sample), segment);
      let rows: Int32Array | Float32Array = ids
        ? ids.subarray(row, row + segment.rows)
        : hidden!.subarray(row * d, (row + segment.rows) * d);
      row += segment.rows;
      if (this.#table && rows instanceof Int32Array) rows = this.#table.embed(rows);
      for (const [i, runner] of this.#body.entries()) {
        const next = await runner.run(rows, cache.length, cache.parts[i]!);
        if (i > 0) free(rows as Float32Array);
        rows = next;
      }
      cache.length += segment.rows;
      parts.push(rows as Float32Array);
    }
    this.#computeMs += performance.now() - start;
    return parts.length === 1 ? parts[0]! : concatenate(parts);
  }

  async logits(hidden: Float32Array, out?: Float32Array): Promise<Float32Array> {
    const start = performance.now();
    if (!this.#head) {
      throw new TypeError("Cannot compute logits: the stage was loaded without a head");
    }
    // Row by row, so that the bits of one sample's logits do not depend on how many come with it.
    const { dModel, vocab } = this.#spec;
    const rows = hidden.length / dModel;
    const logits = out ?? new Float32Array(rows * vocab);
    for (let row = 0; row < rows; row++) {
      const each = await this.#head.run(
        hidden.subarray(row * dModel, (row + 1) * dModel),
        0,
        NO_CACHE,
      );
      logits.set(each, row * vocab);
      free(each);
    }
    this.#computeMs += performance.now() - start;
    return logits;
  }

  async candidates(hidden: Float32Array, count: number): Promise<Candidates> {
    return takeCandidates(await this.logits(hidden), this.#spec.vocab, count);
  }

  computeMs(): number {
    return this.#computeMs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#caches.clear();
    await this.#owned.disposeAsync();
  }
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

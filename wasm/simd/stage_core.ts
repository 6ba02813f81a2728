/** A loaded `simd` stage: takes batches apart into calls of the kernels. */
import { type Candidates, candidatesOfRow, makeCandidates } from "../candidates.ts";
import { MdiError, messageOf } from "../error.ts";
import type { Batch, Segment, Stage, StageInfo } from "../stage.ts";
import {
  CLAIM_BYTES,
  GROUP,
  PAGE,
  PARTIALS,
  POOL_THREADS,
  PROFILE,
  READING,
  ROTATION_STRIDE,
  ROTATIONS,
  ROW_BYTES,
  ROWS,
  SCRATCH,
  SCRATCH_STRIDE,
  THREAD_LOST,
} from "./abi.ts";
import { KvCaches } from "./caches.ts";
import { CandidateSelector } from "./candidate_selector.ts";
import type { KernelMemory } from "./memory.ts";
import type { Kernels } from "./module.ts";
import type { ThreadPool } from "./pool.ts";
import { ThreadChooser } from "./thread_chooser.ts";
import {
  type Buffers,
  type CacheShape,
  type HeadAt,
  type LayerAt,
  type MatrixAt,
  placeBuffers,
  ProgramWriter,
} from "./program.ts";
import type { RopeRows } from "./rope_rows.ts";

/** Rows of one call of the body; longer batches take several. */
const BODY_ROWS = 64;
/** Rows of one call of the head. */
const HEAD_ROWS = 4;

/** What a stage computes with, in memory. */
export interface StageParts {
  dModel: number;
  vocab: number;
  embed: MatrixAt | null;
  layers: LayerAt[];
  head: HeadAt | null;
  rope: RopeRows | null;
  cache: CacheShape;
}

/** A program in memory. */
interface Program {
  ops: number;
  count: number;
  claims: number;
  chooser: ThreadChooser;
}

/** The head's program, where its hidden rows and logits are, and what looks through these. */
interface Head {
  program: Program;
  hidden: number;
  logits: number;
  /** Bytes from one row of logits to the next. */
  stride: number;
  selector: CandidateSelector;
}

/** The stage; owns its pool. */
export class SimdStage implements Stage {
  readonly info: StageInfo;
  #parts: StageParts;
  #memory: KernelMemory;
  #kernels: Kernels;
  #pool: ThreadPool | null;
  #threads: number;
  #caches: KvCaches;
  #buffers: Buffers;
  #body: Program;
  #head: Head | null;
  #rows: number;
  #rotations: number;
  /** Pages of the largest cache that the parts of attention have room for. */
  #partialPages = 0;
  #partials = 0;
  #computeMs = 0;
  /** A stage that lost a thread computes no more. */
  #failure: MdiError | undefined;

  constructor(
    info: StageInfo,
    parts: StageParts,
    memory: KernelMemory,
    kernels: Kernels,
    pool: ThreadPool | null,
    reading: number,
  ) {
    this.info = info;
    this.#parts = parts;
    this.#memory = memory;
    this.#kernels = kernels;
    this.#pool = pool;
    this.#threads = info.threads;
    const { dModel, layers, cache } = parts;
    const take = (bytes: number) => memory.take(bytes);
    const kvHeads = layers[0]?.kvHeads ?? 0;
    this.#caches = new KvCaches(memory, layers.length * kvHeads * cache.headBytes);
    this.#buffers = placeBuffers(take, BODY_ROWS, dModel, layers);
    this.#rows = take(BODY_ROWS * ROW_BYTES);
    const half = parts.rope?.half ?? 0;
    this.#rotations = take(BODY_ROWS * 8 * half);
    const scratch = scratchBytes(layers[0]);
    const control: [number, number][] = [
      [READING, reading],
      [POOL_THREADS, this.#threads],
      [ROWS, this.#rows],
      [ROTATIONS, this.#rotations],
      [ROTATION_STRIDE, 8 * half],
      [SCRATCH, take(this.#threads * scratch)],
      [SCRATCH_STRIDE, scratch],
    ];
    for (const [at, value] of control) memory.words[at / 4] = value;
    const body = new ProgramWriter();
    if (parts.embed) body.embed(parts.embed, this.#buffers.hidden);
    layers.forEach((layer, i) =>
      body.layer(layer, this.#buffers, cache, i * kvHeads * cache.headBytes)
    );
    this.#body = this.#place(body);
    this.#head = parts.head && this.#placeHead(parts.head);
  }

  #placeHead(head: HeadAt): Head {
    const { dModel, vocab } = this.#parts;
    const take = (bytes: number) => this.#memory.take(bytes);
    const buffers = placeBuffers(take, HEAD_ROWS, dModel, []);
    const stride = 4 * Math.ceil(vocab / GROUP) * GROUP;
    const logits = take(HEAD_ROWS * stride);
    const program = new ProgramWriter();
    program.head(head, buffers, { address: logits, stride });
    return {
      program: this.#place(program),
      hidden: buffers.hidden.address,
      logits,
      stride,
      selector: new CandidateSelector(this.#memory, this.#kernels, vocab),
    };
  }

  #place(program: ProgramWriter): Program {
    const words = program.words();
    const ops = this.#memory.take(4 * words.length);
    this.#memory.words.set(words, ops / 4);
    return {
      ops,
      count: program.count,
      claims: this.#memory.take(program.count * CLAIM_BYTES * (this.#threads + 1)),
      chooser: new ThreadChooser(this.#threads),
    };
  }

  open(sample: number, capacity: number): void {
    this.#caches.open(sample, capacity);
  }

  truncate(sample: number, length: number): void {
    this.#caches.truncate(sample, length);
  }

  release(sample: number): void {
    this.#caches.release(sample);
  }

  // deno-lint-ignore require-await -- what it throws is a rejection
  async forward(batch: Batch): Promise<Float32Array> {
    const start = performance.now();
    const { dModel } = this.#parts;
    const rows = batch.segments.reduce((sum, each) => sum + each.rows, 0);
    const out = new Float32Array(rows * dModel);
    let done = 0;
    for (const call of calls(batch.segments)) {
      const count = this.#writeRows(call, batch.ids?.subarray(done));
      const hidden = this.#memory.floats(this.#buffers.hidden.address, count * dModel);
      if (batch.hidden) hidden.set(batch.hidden.subarray(done * dModel, (done + count) * dModel));
      this.#run(this.#body, count);
      out.set(hidden, done * dModel);
      for (const segment of call) this.#caches.advance(segment);
      done += count;
    }
    this.#computeMs += performance.now() - start;
    return out;
  }

  /** Fills the call's table. Returns the number of rows. */
  #writeRows(segments: readonly Segment[], ids: Int32Array | undefined): number {
    const { vocab, rope } = this.#parts;
    let row = 0;
    for (const segment of segments) {
      const table = this.#caches.reserve(segment);
      this.#reserveParts(segment.position + segment.rows);
      for (let i = 0; i < segment.rows; i++, row++) {
        const id = ids?.[row] ?? 0;
        if (id < 0 || id >= vocab) {
          throw new MdiError(
            "protocol",
            `Cannot embed token id ${id}: the vocabulary has ${vocab} tokens`,
          );
        }
        const position = segment.position + i;
        const at = (this.#rows + row * ROW_BYTES) / 4;
        const { words } = this.#memory;
        words[at] = id;
        words[at + 1] = position;
        words[at + 2] = table;
        if (rope) {
          const stride = 2 * rope.half;
          rope.fill(position, this.#memory.floats(this.#rotations + 4 * row * stride, stride));
        }
      }
    }
    return row;
  }

  /** One row over several threads leaves a part for each page. */
  #reserveParts(tokens: number): void {
    const layer = this.#parts.layers[0];
    const pages = Math.ceil(tokens / PAGE);
    if (!layer || this.#threads === 1 || pages <= this.#partialPages) return;
    const bytes = (count: number) => partialBytes(count * layer.heads, layer.headDim);
    const room = Math.max(16, 2 * pages);
    const address = this.#memory.take(bytes(room));
    if (this.#partialPages > 0) this.#memory.give(this.#partials, bytes(this.#partialPages));
    this.#partialPages = room;
    this.#partials = address;
    this.#memory.words[PARTIALS / 4] = address;
  }

  // deno-lint-ignore require-await -- what it throws is a rejection
  async logits(hidden: Float32Array, out?: Float32Array): Promise<Float32Array> {
    const { dModel, vocab } = this.#parts;
    const logits = out ?? new Float32Array(hidden.length / dModel * vocab);
    this.#runHead(hidden, (address, row) => {
      logits.set(this.#memory.floats(address, vocab), row * vocab);
    });
    return logits;
  }

  // deno-lint-ignore require-await -- what it throws is a rejection
  async candidates(hidden: Float32Array, count: number): Promise<Candidates> {
    const { dModel, vocab } = this.#parts;
    const candidates = makeCandidates(hidden.length / dModel, vocab, count);
    this.#runHead(hidden, (address, row, { selector }) => {
      selector.select(address, candidatesOfRow(candidates, row));
    });
    return candidates;
  }

  /** Shows the logits of each row where they are, before the next rows replace them. */
  #runHead(
    hidden: Float32Array,
    look: (address: number, row: number, head: Head) => void,
  ): void {
    const start = performance.now();
    const head = this.#head;
    if (!head) {
      throw new TypeError("Cannot compute logits: the stage was loaded without a head");
    }
    const { dModel } = this.#parts;
    const rows = hidden.length / dModel;
    for (let done = 0; done < rows; done += HEAD_ROWS) {
      const count = Math.min(HEAD_ROWS, rows - done);
      const part = hidden.subarray(done * dModel, (done + count) * dModel);
      this.#memory.floats(head.hidden, part.length).set(part);
      this.#run(head.program, count);
      for (let row = 0; row < count; row++) {
        look(head.logits + row * head.stride, done + row, head);
      }
    }
    this.#computeMs += performance.now() - start;
  }

  #run({ ops, count, claims, chooser }: Program, rows: number): void {
    if (this.#failure) throw this.#failure;
    const threads = chooser.choose(rows);
    const start = performance.now();
    try {
      this.#pool?.check();
      if (this.#kernels.run(ops, count, claims, rows, threads) === THREAD_LOST) {
        throw new MdiError("internal", "A compute thread has stopped in the middle of its work");
      }
    } catch (cause) {
      this.#failure = cause instanceof MdiError
        ? cause
        : new MdiError("internal", `The kernels broke off: ${messageOf(cause)}`, { cause });
      throw this.#failure;
    }
    chooser.record(rows, threads, performance.now() - start);
  }

  computeMs(): number {
    return this.#computeMs;
  }

  /**
   * Starts or ends measuring by operation; single-threaded stages only.
   * @returns what was measured so far, in ms by opcode.
   */
  profile(on: boolean): Float64Array {
    const { memory } = this.#memory;
    const slots = new Float64Array(memory.buffer, PROFILE, 16);
    const out = slots.slice();
    slots.fill(0);
    this.#memory.words[PROFILE / 4] = Number(on);
    return out;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool?.[Symbol.asyncDispose]();
  }
}

/** Bytes of attention's partial results of so many heads: for each its values, maximum, sum, two words of padding. */
function partialBytes(heads: number, headDim: number): number {
  return 4 * heads * (headDim + 4);
}

/** Bytes that attention wants of a thread: the states of all heads, a partial result, and its scores. */
function scratchBytes(layer: LayerAt | undefined): number {
  if (!layer) return 0;
  const { heads, kvHeads, headDim } = layer;
  const bytes = partialBytes(heads + heads / kvHeads, headDim) + 2048 + 16 * headDim;
  return Math.ceil(bytes / 64) * 64;
}

/** Segments in calls of at most BODY_ROWS rows; a long one is taken apart. */
function* calls(segments: readonly Segment[]): Generator<Segment[]> {
  let call: Segment[] = [];
  let room = BODY_ROWS;
  for (const { sample, position, rows } of segments) {
    for (let done = 0; done < rows;) {
      const count = Math.min(room, rows - done);
      call.push({ sample, position: position + done, rows: count });
      done += count;
      room -= count;
      if (room > 0) continue;
      yield call;
      call = [];
      room = BODY_ROWS;
    }
  }
  if (call.length > 0) yield call;
}

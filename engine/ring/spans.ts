/**
 * What a node did and when, kept while a run is traced: a ring buffer of fixed size that forgets the oldest
 * spans first. Recording one is a few stores into typed arrays; a node that is not traced has no recorder,
 * which costs a branch at each place that would record.
 *
 * Frames have numbers without being given any: all nodes see the same frames in the same order, so each
 * counts those that it computes, sends and receives, from 1. Number 0 stands for what is no frame.
 */
import type { Candidates } from "../../wasm/candidates.ts";
import type { Stage } from "../../wasm/stage.ts";
import type { FrameSegment, RingMessage } from "./message.ts";

/** The kinds of spans; a kind's number is its place. Those from "segment" on are marks without length. */
export const SPAN_KINDS = [
  "forward", // embed and layers, on the compute thread
  "head", // on the compute thread
  "draw", // tokens drawn and told of
  "encode", // a message to bytes
  "send", // bytes to the connection
  "decode", // bytes to a message
  "credits", // a message waits until the next node grants a credit
  "segment", // the frame has rows of this sample
  "slot", // the sample got a slot, with a prompt of so many rows
  "token", // a token of the sample was drawn
  "finish", // the sample's turn ended
] as const;

/** What a span is about. */
export type SpanKind = typeof SPAN_KINDS[number];

/** Spans that a recorder keeps where nothing else is said: those of about 8,000 frames, in 2.4 MB. */
export const DEFAULT_SPANS = 1 << 16;
/** Spans that a recorder may keep at most. */
export const MAX_SPANS = 1 << 20;

/** One stretch of time on one node. */
export interface Span {
  /** What it is about. */
  kind: SpanKind;
  /** The frame's number, from 1; 0 where it is about none. */
  frame: number;
  /** Rows of the frame, of head, or tokens of the prompt. */
  rows: number;
  /** The sample, or the first of the frame's. */
  sample: number;
  /** By `performance.now()` of the node, in ms. */
  start: number;
  /** The same as `start` for a mark. */
  end: number;
  /** Length of the message, for "send" and "decode"; else 0. */
  bytes: number;
}

/** Keeps the newest spans of a node. */
export class SpanRecorder {
  readonly #capacity: number;
  readonly #kinds: Uint8Array;
  readonly #frames: Uint32Array;
  readonly #rows: Uint32Array;
  readonly #samples: Uint32Array;
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;
  readonly #bytes: Uint32Array;
  #count = 0;

  /**
   * Reserves its memory, 33 bytes a span.
   * @throws {RangeError} where the capacity is not from 1 to {@linkcode MAX_SPANS}.
   */
  constructor(capacity: number = DEFAULT_SPANS) {
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > MAX_SPANS) {
      throw new RangeError(`Cannot keep ${capacity} spans: give a number from 1 to ${MAX_SPANS}`);
    }
    this.#capacity = capacity;
    this.#kinds = new Uint8Array(capacity);
    this.#frames = new Uint32Array(capacity);
    this.#rows = new Uint32Array(capacity);
    this.#samples = new Uint32Array(capacity);
    this.#starts = new Float64Array(capacity);
    this.#ends = new Float64Array(capacity);
    this.#bytes = new Uint32Array(capacity);
  }

  /** Spans recorded so far, those forgotten included. */
  get count(): number {
    return this.#count;
  }

  /** Number of the oldest span that is still there, counted from 0 over all that were recorded. */
  get first(): number {
    return Math.max(0, this.#count - this.#capacity);
  }

  /** Records a span; times are of `performance.now()`. */
  add(
    kind: SpanKind,
    frame: number,
    rows: number,
    sample: number,
    start: number,
    end: number,
    bytes = 0,
  ): void {
    const at = this.#count++ % this.#capacity;
    this.#kinds[at] = SPAN_KINDS.indexOf(kind);
    this.#frames[at] = frame;
    this.#rows[at] = rows;
    this.#samples[at] = sample;
    this.#starts[at] = start;
    this.#ends[at] = end;
    this.#bytes[at] = bytes;
  }

  /** Records a moment of a sample. */
  mark(kind: SpanKind, sample: number, rows: number, frame = 0): void {
    const now = performance.now();
    this.add(kind, frame, rows, sample, now, now);
  }

  /** Records what a socket thread did with a message; a change of a cache is no frame. */
  message(
    kind: SpanKind,
    message: RingMessage,
    frame: number,
    start: number,
    end: number,
    bytes = 0,
  ): void {
    if (message.kind === "cache") this.add(kind, 0, 0, message.sample, start, end, bytes);
    else {
      const { segments } = message;
      this.add(kind, frame, rowsOf(segments), segments[0]!.sample, start, end, bytes);
    }
  }

  /**
   * Records the frame that a stage has just computed.
   * @param asked when it was asked to: what a stage that does not tell its times is taken to have begun at.
   */
  forwarded(
    stage: Pick<Stage, "lastCall">,
    segments: readonly FrameSegment[],
    frame: number,
    asked: number,
  ): void {
    const call = stage.lastCall;
    const end = call?.end ?? performance.now();
    this.add(
      "forward",
      frame,
      rowsOf(segments),
      segments[0]!.sample,
      call?.start ?? asked,
      end,
    );
  }

  /** Copies the spans from number `from` on, at most `limit` and none that was forgotten. */
  read(from: number, limit: number): Span[] {
    const end = Math.min(this.#count, Math.max(from, this.first) + limit);
    const out: Span[] = [];
    for (let i = Math.max(from, this.first); i < end; i++) {
      const at = i % this.#capacity;
      out.push({
        kind: SPAN_KINDS[this.#kinds[at]!]!,
        frame: this.#frames[at]!,
        rows: this.#rows[at]!,
        sample: this.#samples[at]!,
        start: this.#starts[at]!,
        end: this.#ends[at]!,
        bytes: this.#bytes[at]!,
      });
    }
    return out;
  }
}

/** A stage's head that records each of its calls, as several may go into one frame's tokens. */
export class RecordedHead implements Pick<Stage, "logits" | "candidates"> {
  readonly #stage: Pick<Stage, "logits" | "candidates" | "lastCall">;
  readonly #spans: SpanRecorder;
  #frame = 0;
  #rows = 0;
  #sample = 0;

  /** Records what the stage does. */
  constructor(stage: Pick<Stage, "logits" | "candidates" | "lastCall">, spans: SpanRecorder) {
    this.#stage = stage;
    this.#spans = spans;
  }

  /** Says which frame the next calls are for. */
  begin(frame: number, rows: number, sample: number): void {
    this.#frame = frame;
    this.#rows = rows;
    this.#sample = sample;
  }

  async logits(hidden: Float32Array, out?: Float32Array): Promise<Float32Array> {
    const asked = performance.now();
    const logits = await this.#stage.logits(hidden, out);
    this.#record(asked);
    return logits;
  }

  async candidates(hidden: Float32Array, count: number): Promise<Candidates> {
    const asked = performance.now();
    const candidates = await this.#stage.candidates(hidden, count);
    this.#record(asked);
    return candidates;
  }

  #record(asked: number): void {
    const call = this.#stage.lastCall;
    const end = call?.end ?? performance.now();
    this.#spans.add("head", this.#frame, this.#rows, this.#sample, call?.start ?? asked, end);
  }
}

function rowsOf(segments: readonly FrameSegment[]): number {
  let rows = 0;
  for (const segment of segments) rows += segment.rows;
  return rows;
}

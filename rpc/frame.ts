/**
 * Between the messages of a link and their protobuf form (proto/mdi/v1/ring.proto). Everything that
 * arrives is checked here, once; behind it counts, positions and sizes are trusted.
 *
 * Values are not looked at: NaN and infinities are decoded as they are. With dtype f32 rows are moved as
 * bytes, so a row that holds two f16 tensors (see wasm/block.ts) survives; with f16 they are rounded to
 * nearest and clamped to ±65504, which only suits edges of f32 values.
 */
import { create } from "@bufbuild/protobuf";
import type {
  CacheMessage,
  FrameMessage,
  FrameSegment,
  RingMessage,
} from "../engine/ring/message.ts";
import { MdiError } from "../wasm/error.ts";
import { bytesOf, f32Of, fromF16, toF16 } from "./f16.ts";
import {
  type CacheChange,
  Dtype,
  type Frame,
  type LinkRequest,
  LinkRequestSchema,
} from "./gen/mdi/v1/ring_pb.ts";

/** What a link's frames look like. */
export interface FrameCodecOptions {
  /** Values in a row. */
  dModel: number;
  /** How a value travels. */
  dtype: "f32" | "f16";
  /** "stage" carries all rows, "return" (from the last secondary to the starter) the wanted ones only. */
  edge: "stage" | "return";
  /** Most rows in a frame, counting those that a return edge leaves out. */
  maxRows: number;
  /** Positions that a sample may have. */
  context: number;
  /**
   * Most segments in a frame.
   * @default {maxRows}
   */
  maxSamples?: number;
}

/** Encodes and decodes a link's messages. */
export interface FrameCodec {
  /** No message is longer, in bytes. */
  readonly maxMessageBytes: number;
  /**
   * Encodes a message. The result may refer to `message.hidden`.
   * @throws {RangeError} where it is not one that {@linkcode FrameCodec.decode} would take.
   */
  encode(message: RingMessage): LinkRequest;
  /**
   * Checks and decodes a message. `hidden` may refer to the request's bytes.
   * @throws {MdiError} protocol, naming the field, the value met and what was expected.
   */
  decode(request: LinkRequest): RingMessage;
}

/** Bytes of the largest message without its rows and segments: tags, lengths, epoch, dtype. */
const FIXED_BYTES = 64;
/** A segment has four varints of at most five bytes. */
const SEGMENT_BYTES = 20;
/** A uint32 field holds less. */
const UINT32_END = 2 ** 32;

/**
 * Makes a codec.
 * @throws {RangeError} where a size is not a positive integer.
 */
export function createFrameCodec(options: FrameCodecOptions): FrameCodec {
  return new ProtoFrameCodec(options);
}

class ProtoFrameCodec implements FrameCodec {
  readonly maxMessageBytes: number;
  readonly #dModel: number;
  readonly #dtype: Dtype;
  readonly #valueBytes: number;
  readonly #wantedOnly: boolean;
  readonly #maxRows: number;
  readonly #maxSamples: number;
  readonly #context: number;

  constructor(options: FrameCodecOptions) {
    const { dModel, dtype, edge, maxRows, context, maxSamples = maxRows } = options;
    for (const [name, value] of Object.entries({ dModel, maxRows, context, maxSamples })) {
      if (!Number.isSafeInteger(value) || value < 1 || value >= UINT32_END) {
        throw new RangeError(`Cannot make a frame codec: ${name} is ${value}`);
      }
    }
    this.#dModel = dModel;
    this.#dtype = dtype === "f32" ? Dtype.F32 : Dtype.F16;
    this.#valueBytes = dtype === "f32" ? 4 : 2;
    this.#wantedOnly = edge === "return";
    this.#maxRows = maxRows;
    this.#maxSamples = maxSamples;
    this.#context = context;
    this.maxMessageBytes = maxRows * dModel * this.#valueBytes + maxSamples * SEGMENT_BYTES +
      FIXED_BYTES;
  }

  encode(message: RingMessage): LinkRequest {
    requireUint32("epoch", message.epoch, callersMistake);
    if (message.kind === "cache") {
      this.#checkCache(message, callersMistake);
      const { epoch, sample, length, capacity } = message;
      return create(LinkRequestSchema, {
        message: { case: "cache", value: { epoch, sample, length, capacity } },
      });
    }
    const { epoch, segments, hidden } = message;
    const rows = this.#checkSegments(segments, callersMistake);
    if (hidden.length !== rows * this.#dModel) {
      callersMistake("hidden", `${hidden.length} values`, `${rows} rows of ${this.#dModel}`);
    }
    return create(LinkRequestSchema, {
      message: {
        case: "frame",
        value: {
          epoch,
          sample: segments.map((segment) => segment.sample),
          position: segments.map((segment) => segment.position),
          rows: segments.map((segment) => segment.rows),
          wanted: segments.map((segment) => segment.wanted),
          dtype: this.#dtype,
          hidden: this.#dtype === Dtype.F32 ? bytesOf(hidden) : bytesOf(toF16(hidden)),
        },
      },
    });
  }

  decode(request: LinkRequest): RingMessage {
    const { message } = request;
    switch (message.case) {
      case "frame":
        return this.#decodeFrame(message.value);
      case "cache":
        return this.#decodeCache(message.value);
      default:
        return peersFault("message", message.case ?? "empty", "a frame or a cache change");
    }
  }

  #decodeFrame(frame: Frame): FrameMessage {
    const { epoch, sample, position, rows, wanted, dtype, hidden } = frame;
    if (dtype !== this.#dtype) peersFault("dtype", nameOf(dtype), nameOf(this.#dtype));
    const count = sample.length;
    for (
      const [name, list] of [["position", position], ["rows", rows], ["wanted", wanted]] as const
    ) {
      if (list.length !== count) {
        peersFault(name, `${list.length} entries`, `${count}, one a segment`);
      }
    }
    // Before anything is made of them: a packed list may have a million entries.
    if (count > this.#maxSamples) {
      peersFault("sample", `${count} segments`, `at most ${this.#maxSamples}`);
    }
    const segments: FrameSegment[] = [];
    for (let i = 0; i < count; i++) {
      segments.push({
        sample: sample[i]!,
        position: position[i]!,
        rows: rows[i]!,
        wanted: wanted[i]!,
      });
    }
    const carried = this.#checkSegments(segments, peersFault);
    const bytes = carried * this.#dModel * this.#valueBytes;
    if (hidden.length !== bytes) {
      peersFault(
        "hidden",
        `${hidden.length} bytes`,
        `${bytes} for ${carried} rows of ${this.#dModel}`,
      );
    }
    const values = this.#dtype === Dtype.F32 ? f32Of(hidden) : fromF16(hidden);
    return { kind: "frame", epoch, segments, hidden: values };
  }

  #decodeCache({ epoch, sample, length, capacity }: CacheChange): CacheMessage {
    const message: CacheMessage = { kind: "cache", epoch, sample, length, capacity };
    this.#checkCache(message, peersFault);
    return message;
  }

  /** @returns how many rows the frame carries. */
  #checkSegments(segments: readonly FrameSegment[], fail: Fail): number {
    if (segments.length === 0) fail("sample", "no segments", "at least one");
    if (segments.length > this.#maxSamples) {
      fail("sample", `${segments.length} segments`, `at most ${this.#maxSamples}`);
    }
    let total = 0;
    let carried = 0;
    for (const [i, { sample, position, rows, wanted }] of segments.entries()) {
      requireUint32("sample", sample, fail);
      requireUint32("position", position, fail);
      if (!Number.isInteger(rows) || rows < 1) fail("rows", rows, "at least 1");
      if (!Number.isInteger(wanted) || wanted < 0 || wanted > rows) {
        fail("wanted", wanted, `at most the segment's ${rows} rows`);
      }
      if (position + rows > this.#context) {
        fail(
          "position",
          `${position} with ${rows} rows`,
          `to end within a context of ${this.#context}`,
        );
      }
      // Quadratic, but for a handful of samples cheaper than a set.
      for (let j = 0; j < i; j++) {
        if (segments[j]!.sample === sample) {
          fail("sample", `${sample} twice`, "one segment a sample");
        }
      }
      total += rows;
      if (total > this.#maxRows) fail("rows", `${total} in all`, `at most ${this.#maxRows}`);
      carried += this.#wantedOnly ? wanted : rows;
    }
    return carried;
  }

  #checkCache({ sample, length, capacity }: CacheMessage, fail: Fail): void {
    requireUint32("sample", sample, fail);
    requireUint32("length", length, fail);
    requireUint32("capacity", capacity, fail);
    if (capacity > this.#context) fail("capacity", capacity, `at most ${this.#context}`);
    if (length > capacity) fail("length", length, `at most the capacity of ${capacity}`);
  }
}

/** Reports a field; never returns. */
type Fail = (field: string, met: string | number, expected: string) => never;

function peersFault(field: string, met: string | number, expected: string): never {
  throw new MdiError(
    "protocol",
    `Cannot take the message: ${field} is ${met}, expected ${expected}`,
    {
      details: { field, met, expected },
    },
  );
}

function callersMistake(field: string, met: string | number, expected: string): never {
  throw new RangeError(`Cannot send the message: ${field} is ${met}, expected ${expected}`);
}

function requireUint32(field: string, value: number, fail: Fail): void {
  if (!Number.isInteger(value) || value < 0 || value >= UINT32_END) {
    fail(field, value, "an unsigned integer of 32 bits");
  }
}

function nameOf(dtype: Dtype): string {
  return Dtype[dtype] ?? String(dtype);
}

/**
 * Connect's envelopes: one byte of flags, the length as a big-endian uint32, the message.
 * See https://connectrpc.com/docs/protocol#streaming-rpcs
 */
import { MdiError } from "../wasm/error.ts";

/** Bytes before a message. */
export const ENVELOPE_BYTES = 5;

/** A message with its flags. */
export interface Envelope {
  /** Bit 0: compressed; bit 1: the end of the stream. */
  flags: number;
  /** The message, in a buffer of its own. */
  data: Uint8Array<ArrayBuffer>;
}

/** Puts a message into an envelope. */
export function encodeEnvelope(data: Uint8Array, flags = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(ENVELOPE_BYTES + data.length);
  bytes[0] = flags;
  new DataView(bytes.buffer).setUint32(1, data.length);
  bytes.set(data, ENVELOPE_BYTES);
  return bytes;
}

/** Cuts a stream of bytes into envelopes. Nothing is allocated for a message that is too long. */
export class EnvelopeDecoder {
  /** Longest message that is taken, in bytes; may change between messages. */
  maxBytes: number;
  readonly #header = new Uint8Array(ENVELOPE_BYTES);
  #headerFilled = 0;
  #data: Uint8Array<ArrayBuffer> | undefined;
  #dataFilled = 0;

  /** Starts at the beginning of an envelope. */
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Whether the bytes so far end inside an envelope. */
  get partial(): boolean {
    return this.#headerFilled > 0;
  }

  /**
   * Yields the envelopes that `chunk` completes. A new `maxBytes` holds from the next envelope on.
   * @throws {MdiError} protocol where a message is longer than `maxBytes`.
   */
  *decode(chunk: Uint8Array): Generator<Envelope, void, undefined> {
    let at = 0;
    while (at < chunk.length) {
      while (this.#headerFilled < ENVELOPE_BYTES && at < chunk.length) {
        this.#header[this.#headerFilled++] = chunk[at++]!;
      }
      if (this.#headerFilled < ENVELOPE_BYTES) return;
      const data = this.#data ??= this.#allocate();
      const piece = chunk.subarray(at, at + data.length - this.#dataFilled);
      data.set(piece, this.#dataFilled);
      at += piece.length;
      this.#dataFilled += piece.length;
      if (this.#dataFilled < data.length) return;
      this.#headerFilled = 0;
      this.#data = undefined;
      this.#dataFilled = 0;
      yield { flags: this.#header[0]!, data };
    }
  }

  #allocate(): Uint8Array<ArrayBuffer> {
    const length = new DataView(this.#header.buffer).getUint32(1);
    if (length > this.maxBytes) {
      throw new MdiError(
        "protocol",
        `Cannot take a message of ${length} bytes: at most ${this.maxBytes} are allowed here`,
        { details: { field: "length", met: length, expected: this.maxBytes } },
      );
    }
    return new Uint8Array(length);
  }
}

/** Little-endian values one after another out of the first part of a GGUF file, each bound checked. */
import { MdiError } from "../../../wasm/error.ts";

/** Thrown where the bytes read so far end before a value that the file is long enough to hold. */
export class NeedMoreBytes extends Error {
  override readonly name = "NeedMoreBytes";
}

/** Reads a GGUF header; throws {@linkcode MdiError} model_corrupt where the file is too short for it. */
export class GgufCursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #fileBytes: number;
  readonly #file: string;
  readonly #decoder = new TextDecoder();
  #at = 0;

  /**
   * @param bytes the first part of the file, or all of it.
   * @param fileBytes the length of the whole file.
   * @param file its name, for messages.
   */
  constructor(bytes: Uint8Array, fileBytes: number, file: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#fileBytes = fileBytes;
    this.#file = file;
  }

  /** Bytes read so far. */
  get offset(): number {
    return this.#at;
  }

  /** A model_corrupt error that names the file and the place. */
  corrupt(why: string): MdiError {
    return new MdiError(
      "model_corrupt",
      `Cannot read GGUF file ${this.#file}: ${why} (at byte ${this.#at}); fetch it again`,
      { details: { file: this.#file, offset: this.#at } },
    );
  }

  /** Makes room for `count` items of at least `size` bytes each before any of them is read. */
  expect(what: string, count: number, size: number): void {
    const left = this.#fileBytes - this.#at;
    if (count * size > left) {
      throw this.corrupt(`${what} needs ${count * size} bytes where the file has ${left} left`);
    }
    if (this.#at + count * size > this.#bytes.length) throw new NeedMoreBytes();
  }

  /** Unsigned, 8 bits. */
  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  /** Signed, 8 bits. */
  i8(): number {
    return this.#view.getInt8(this.#take(1));
  }

  /** Unsigned, 16 bits. */
  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  /** Signed, 16 bits. */
  i16(): number {
    return this.#view.getInt16(this.#take(2), true);
  }

  /** Unsigned, 32 bits. */
  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** Signed, 32 bits. */
  i32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  /** Single precision. */
  f32(): number {
    return this.#view.getFloat32(this.#take(4), true);
  }

  /** Unsigned, 64 bits. */
  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  /** Signed, 64 bits. */
  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true);
  }

  /** Double precision. */
  f64(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  /** One byte, 0 or 1. */
  bool(): boolean {
    const value = this.u8();
    if (value > 1) throw this.corrupt(`a boolean is ${value}`);
    return value === 1;
  }

  /** A u64 that counts something, at most `max`. */
  count(what: string, max: number): number {
    const at = this.#take(8);
    // Not as a bigint: a vocabulary has a hundred thousand of them.
    const value = this.#view.getUint32(at + 4, true) * 2 ** 32 + this.#view.getUint32(at, true);
    if (value <= max) return value;
    throw this.corrupt(`${what} is ${this.#view.getBigUint64(at, true)}, more than ${max}`);
  }

  /** A length and that many bytes of UTF-8; bytes that are not become U+FFFD. */
  string(what: string, maxBytes: number): string {
    const length = this.count(`the length of ${what}`, maxBytes);
    this.expect(what, length, 1);
    const start = this.#take(length);
    return this.#decoder.decode(this.#bytes.subarray(start, start + length));
  }

  #take(length: number): number {
    const start = this.#at;
    if (start + length > this.#bytes.length) this.expect("the next value", 1, length);
    this.#at = start + length;
    return start;
  }
}

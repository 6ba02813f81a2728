/** A block file for tests: an empty graph and the bytes that tests put in its data section. */
import {
  align,
  BLOCK_HEADER_BYTES,
  BLOCK_MAGIC,
  BLOCK_VERSION,
  type TensorLocation,
} from "../block.ts";
import type { SourceReader } from "./pack_from.ts";

/** Bytes of a block's data section, as they are added. */
export class BlockData {
  readonly #block: string;
  #bytes = new Uint8Array(0);

  constructor(block: string) {
    this.#block = block;
  }

  /** Adds a tensor's bytes. */
  add(part: Uint8Array): TensorLocation {
    const offset = align(this.#bytes.length);
    const grown = new Uint8Array(offset + part.length);
    grown.set(this.#bytes);
    grown.set(part, offset);
    this.#bytes = grown;
    return { block: this.#block, offset, length: part.length };
  }

  /** Reads what was added, only where it was. */
  readonly read: SourceReader = (source, offset, length) => {
    if (source.block !== this.#block || offset < 0 || offset + length > source.length) {
      return Promise.reject(new RangeError(`Cannot read ${length} bytes at ${offset}`));
    }
    const first = source.offset + offset;
    return Promise.resolve(this.#bytes.slice(first, first + length));
  };

  /** The block's file. */
  file(): Uint8Array {
    const dataOffset = align(BLOCK_HEADER_BYTES);
    const out = new Uint8Array(dataOffset + this.#bytes.length);
    out.set(BLOCK_MAGIC);
    new DataView(out.buffer).setUint32(8, BLOCK_VERSION, true);
    out.set(this.#bytes, dataOffset);
    return out;
  }
}

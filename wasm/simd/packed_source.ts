/** Packed weights, wherever they come from. */
import { align } from "../block.ts";
import type { SourceReader } from "./pack_from.ts";
import type { PackedBlock } from "./packed_block.ts";
import type { PackedPart, PackedPlan } from "./packed_plan.ts";
import { packPart } from "./packed_writer.ts";

/** A packed block whose weights can be read. */
export interface PackedSource {
  /** What it holds. */
  readonly block: PackedBlock;
  /** Reads a matrix or vector, by its offset; `out` may lie in shared memory. */
  readInto(offset: number, out: Uint8Array): Promise<void>;
}

/** A block that is packed while it is read, straight into where it is wanted; nothing of it is kept. */
export class UnkeptBlock implements PackedSource {
  readonly block: PackedBlock;
  readonly #parts: Map<number, PackedPart>;
  readonly #read: SourceReader;
  readonly #onBytes: (bytes: number) => void;

  /** @param onBytes told how many bytes of the data section were packed. */
  constructor(
    { index, parts }: PackedPlan,
    read: SourceReader,
    onBytes: (bytes: number) => void,
  ) {
    this.block = index;
    this.#parts = new Map(parts.map((part) => [offsetOf(part), part]));
    this.#read = read;
    this.#onBytes = onBytes;
  }

  async readInto(offset: number, out: Uint8Array): Promise<void> {
    const part = this.#parts.get(offset);
    if (!part) throw new TypeError(`Cannot read packed weights at ${offset}: none begin there`);
    let at = 0;
    await packPart(part, this.#read, (bytes) => {
      out.set(bytes, at);
      at += bytes.length;
      this.#onBytes(bytes.length);
      return Promise.resolve();
    });
    this.#onBytes(align(at) - at);
  }
}

function offsetOf(part: PackedPart): number {
  return part.to.offset;
}

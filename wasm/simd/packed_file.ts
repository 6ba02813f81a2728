/**
 * The packed file: a decoder block's weights as the kernels read them.
 *
 *     offset 0   8 bytes  "MDIPACKD"
 *            8   u32 LE   format version, 1
 *           12   u32 LE   L, the length of the index
 *           16   L bytes  the index: a PackedBlock as JSON
 *     align 64   data     matrices and vectors, each at a multiple of 64 bytes from the start of the
 *                         data section and followed by zeros up to the next one
 *
 * It is made from a block file on the device that computes with it, and can be made again at any time.
 * The version counts changes of this format and of the layouts that README.md draws.
 */
import { align } from "../block.ts";
import { readInto } from "../block_file.ts";
import { MdiError, messageOf } from "../error.ts";
import type { PackedBlock } from "./packed_block.ts";
import { checkPackedIndex } from "./packed_index.ts";

/** The first eight bytes of a packed file. */
export const PACKED_MAGIC = new TextEncoder().encode("MDIPACKD");
/** The format version that this program writes and reads. */
export const PACKED_VERSION = 1;
/** Bytes before the index. */
export const PACKED_HEADER_BYTES = 16;
/** An index longer than this is refused: real ones are below 10 KB. */
const MAX_INDEX_BYTES = 2 ** 20;

/** A packed file, opened. Owns its handle. */
export class PackedFile implements Disposable {
  /** What it holds. */
  readonly block: PackedBlock;
  /** Bytes of its data section. */
  readonly dataBytes: number;
  readonly #path: string;
  readonly #handle: Deno.FsFile;
  readonly #dataOffset: number;

  private constructor(
    path: string,
    handle: Deno.FsFile,
    { block, dataOffset, dataBytes }: { block: PackedBlock; dataOffset: number; dataBytes: number },
  ) {
    this.#path = path;
    this.#handle = handle;
    this.#dataOffset = dataOffset;
    this.block = block;
    this.dataBytes = dataBytes;
  }

  /**
   * Opens a file and checks its index.
   * @throws {MdiError} model_missing where it cannot be opened; model_corrupt where it is no packed file
   * of this version, or its index does not fit its data.
   */
  static async open(path: string): Promise<PackedFile> {
    let handle: Deno.FsFile;
    try {
      handle = await Deno.open(path);
    } catch (cause) {
      throw new MdiError(
        "model_missing",
        `Cannot open packed weights at ${path}: ${messageOf(cause)}`,
        { cause },
      );
    }
    try {
      return new PackedFile(path, handle, await readFront(path, handle));
    } catch (error) {
      handle.close();
      throw error;
    }
  }

  /**
   * Reads bytes of the data section; `out` may lie in shared memory.
   * @throws {MdiError} model_corrupt where the file ends before.
   */
  async readInto(offset: number, out: Uint8Array): Promise<void> {
    const got = await readInto(this.#handle, this.#dataOffset + offset, out);
    if (got < out.length) {
      throw corrupt(this.#path, `it ends inside of the ${out.length} bytes at ${offset}`);
    }
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#handle.close();
  }
}

async function readFront(
  path: string,
  handle: Deno.FsFile,
): Promise<{ block: PackedBlock; dataOffset: number; dataBytes: number }> {
  const { size } = await handle.stat();
  const head = new Uint8Array(PACKED_HEADER_BYTES);
  const got = await readInto(handle, 0, head);
  if (got < head.length || PACKED_MAGIC.some((byte, i) => head[i] !== byte)) {
    throw corrupt(path, "it does not start with the header of packed weights");
  }
  const view = new DataView(head.buffer);
  const version = view.getUint32(8, true);
  if (version !== PACKED_VERSION) {
    throw corrupt(path, `its format version is ${version}, not ${PACKED_VERSION}`);
  }
  const indexBytes = view.getUint32(12, true);
  const dataOffset = align(PACKED_HEADER_BYTES + indexBytes);
  if (indexBytes > MAX_INDEX_BYTES || dataOffset > size) {
    throw corrupt(path, `its index of ${indexBytes} bytes is too long`);
  }
  const index = new Uint8Array(indexBytes);
  await readInto(handle, PACKED_HEADER_BYTES, index);
  const dataBytes = size - dataOffset;
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(index));
    return { block: checkPackedIndex(value, dataBytes), dataOffset, dataBytes };
  } catch (cause) {
    throw corrupt(path, `its index cannot be read (${messageOf(cause)})`, cause);
  }
}

function corrupt(path: string, why: string, cause?: unknown): MdiError {
  return new MdiError(
    "model_corrupt",
    `Cannot read packed weights at ${path}: ${why}; delete the file and they are packed again`,
    { cause, details: { path } },
  );
}

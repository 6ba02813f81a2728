/**
 * The packed file: a decoder block's weights as the kernels read them.
 *
 *     offset 0   8 bytes  "MDIPACKD"
 *            8   u32 LE   format version, 2
 *           12   u32 LE   L, the length of the index
 *           16   L bytes  the index: a PackedBlock as JSON
 *     align 64   data     matrices and vectors, each at a multiple of 64 bytes from the start of the
 *                         data section and followed by zeros up to the next one
 *     last   32 bytes     the sha256 of all bytes before
 *
 * It is made from a block file on the device that computes with it, and can be made again at any time.
 * The version counts changes of this format and of the layouts that README.md draws.
 */
import { align } from "../block.ts";
import { readInto } from "../block_file.ts";
import { MdiError, messageOf } from "../error.ts";
import { isMarked, markFile } from "../file_mark.ts";
import type { PackedBlock } from "./packed_block.ts";
import { DIGEST_BYTES, hashPacked, readDigest } from "./packed_digest.ts";
import { checkPackedIndex } from "./packed_index.ts";

/** The first eight bytes of a packed file. */
export const PACKED_MAGIC = new TextEncoder().encode("MDIPACKD");
/** The format version that this program writes and reads. */
export const PACKED_VERSION = 2;
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
  readonly #digest: string;

  private constructor(
    path: string,
    handle: Deno.FsFile,
    { block, dataOffset, dataBytes, digest }: Contents,
  ) {
    this.#path = path;
    this.#handle = handle;
    this.#dataOffset = dataOffset;
    this.#digest = digest;
    this.block = block;
    this.dataBytes = dataBytes;
  }

  /**
   * Opens a file and checks its index, but not its digest: {@linkcode PackedFile.isIntact} does.
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
      return new PackedFile(path, handle, await readContents(path, handle));
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

  /**
   * Whether its bytes are what its digest says. A file that has the mark of its digest is believed; any
   * other is hashed, and marked where it is right.
   */
  async isIntact(): Promise<boolean> {
    if (isMarked(await this.#handle.stat(), this.#digest)) return true;
    const { actual, expected } = await hashPacked(this.#handle);
    if (actual !== expected) return false;
    await this.mark();
    return true;
  }

  /** Marks it as one whose digest is right. */
  async mark(): Promise<void> {
    await markFile(this.#path, this.#digest);
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#handle.close();
  }
}

/** What a file says of itself. */
interface Contents {
  block: PackedBlock;
  dataOffset: number;
  dataBytes: number;
  /** In hex. */
  digest: string;
}

async function readContents(path: string, handle: Deno.FsFile): Promise<Contents> {
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
  if (indexBytes > MAX_INDEX_BYTES || dataOffset + DIGEST_BYTES > size) {
    throw corrupt(path, `its index of ${indexBytes} bytes is too long`);
  }
  const index = new Uint8Array(indexBytes);
  await readInto(handle, PACKED_HEADER_BYTES, index);
  const dataBytes = size - DIGEST_BYTES - dataOffset;
  const digest = await readDigest(handle, size);
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(index));
    return { block: checkPackedIndex(value, dataBytes), dataOffset, dataBytes, digest };
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

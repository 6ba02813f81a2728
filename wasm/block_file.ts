/** Block files on this device, opened for reading by range. */
import {
  type BlockHeader,
  readBlockHeader,
  type TensorLocation,
  type TensorSource,
} from "./block.ts";
import { MdiError, messageOf } from "./error.ts";
import type { BlockFile } from "./stage.ts";

interface OpenFile {
  handle: Deno.FsFile;
  /** Length of the file. */
  bytes: number;
  header: BlockHeader;
}

/** The blocks of a stage, opened. Owns their file handles. */
export class OpenBlocks implements Disposable {
  #files = new Map<string, OpenFile>();

  /** Opens every file and reads its graph. */
  static async open(files: readonly Pick<BlockFile, "name" | "path">[]): Promise<OpenBlocks> {
    using blocks = new DisposableStack();
    const out = blocks.adopt(new OpenBlocks(), (it) => it[Symbol.dispose]());
    for (const { name, path } of files) await out.#add(name, path);
    blocks.move();
    return out;
  }

  async #add(name: string, path: string): Promise<void> {
    let handle: Deno.FsFile;
    try {
      handle = await Deno.open(path);
    } catch (cause) {
      throw new MdiError(
        "model_missing",
        `Cannot open block ${name} at ${path}: ${messageOf(cause)}`,
        { cause },
      );
    }
    try {
      const { size: bytes } = await handle.stat();
      const header = await readBlockHeader(name, async (offset, length) => {
        const out = new Uint8Array(Math.max(0, Math.min(length, bytes - offset)));
        return out.subarray(0, await readInto(handle, offset, out));
      });
      this.#files.set(name, { handle, bytes, header });
    } catch (error) {
      handle.close();
      throw error;
    }
  }

  /** The header of a block. */
  header(name: string): BlockHeader {
    return this.#get(name).header;
  }

  /**
   * Reads a tensor's bytes, or copies them where they lie in the graph.
   * @param out has their length.
   * @throws {MdiError} model_corrupt where the file is shorter than that.
   */
  async read(source: TensorSource, out: Uint8Array): Promise<void> {
    if (source instanceof Uint8Array) return out.set(source);
    this.check(source);
    const { handle, header } = this.#get(source.block);
    const got = await readInto(handle, header.dataOffset + source.offset, out);
    if (got < source.length) throw truncated(source, header.dataOffset + source.offset + got);
  }

  /**
   * Checks that a tensor's bytes are there, before memory is taken for them.
   * @throws {MdiError} model_corrupt where the file is shorter than that.
   */
  check(source: TensorSource): void {
    if (source instanceof Uint8Array) return;
    const { bytes, header } = this.#get(source.block);
    if (header.dataOffset + source.offset + source.length > bytes) throw truncated(source, bytes);
  }

  #get(name: string): OpenFile {
    const file = this.#files.get(name);
    if (!file) {
      throw new MdiError("model_corrupt", `Cannot read block ${name}: the stage was not given it`);
    }
    return file;
  }

  /** Closes the files. */
  [Symbol.dispose](): void {
    for (const { handle } of this.#files.values()) handle.close();
    this.#files.clear();
  }
}

function truncated({ block, offset, length }: TensorLocation, end: number): MdiError {
  return new MdiError(
    "model_corrupt",
    `Cannot read block ${block}: it ends at byte ${end}, before the ${length} bytes at ${offset} of its data; run "mdi store verify"`,
    { details: { block } },
  );
}

/** Fills `out` from `offset` on. Returns how many bytes there were. */
export async function readInto(
  file: Deno.FsFile,
  offset: number,
  out: Uint8Array,
): Promise<number> {
  await file.seek(offset, Deno.SeekMode.Start);
  let at = 0;
  while (at < out.length) {
    const got = await file.read(out.subarray(at));
    if (got === null) break;
    at += got;
  }
  return at;
}

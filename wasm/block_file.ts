/** Block files on this device, opened for reading by range. */
import { type BlockHeader, readBlockHeader, type TensorLocation } from "./block.ts";
import { MdiError, messageOf } from "./error.ts";
import type { BlockFile } from "./stage.ts";

/** The blocks of a stage, opened. Owns their file handles. */
export class OpenBlocks implements Disposable {
  #files = new Map<string, { handle: Deno.FsFile; header: BlockHeader }>();

  /** Opens every file and reads its graph. */
  static async open(files: readonly BlockFile[]): Promise<OpenBlocks> {
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
        {
          cause,
        },
      );
    }
    try {
      const header = await readBlockHeader(
        name,
        (offset, length) => readRange(handle, offset, length),
      );
      this.#files.set(name, { handle, header });
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
   * Reads one tensor's bytes.
   * @throws {MdiError} model_corrupt where the file is shorter than that.
   */
  async read(place: TensorLocation): Promise<Uint8Array<ArrayBuffer>> {
    const { handle, header } = this.#get(place.block);
    const bytes = await readRange(handle, header.dataOffset + place.offset, place.length);
    if (bytes.length < place.length) {
      throw new MdiError(
        "model_corrupt",
        `Cannot read block ${place.block}: it ends at ${bytes.length} of the ${place.length} bytes at ${place.offset}; run "mdi store verify"`,
      );
    }
    return bytes;
  }

  #get(name: string): { handle: Deno.FsFile; header: BlockHeader } {
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

/** Reads `length` bytes at `offset`; fewer where the file ends first. */
async function readRange(
  file: Deno.FsFile,
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const { size } = await file.stat();
  const out = new Uint8Array(Math.max(0, Math.min(length, size - offset)));
  await file.seek(offset, Deno.SeekMode.Start);
  for (let at = 0; at < out.length;) {
    const got = await file.read(out.subarray(at));
    if (got === null) return out.slice(0, at);
    at += got;
  }
  return out;
}

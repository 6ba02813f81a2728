/** Random access to a file through one small buffer, so that its size never matters to memory. */

/** Bytes read at once. Many small fields lie side by side; a weight between them is skipped. */
const WINDOW_BYTES = 256 * 1024;

/** An open file with the part of it that was read last. */
export class FileWindow implements Disposable {
  /** Size of the file in bytes when it was opened. */
  readonly size: number;
  readonly #file: Deno.FsFile;
  #start = 0;
  #window: Uint8Array = new Uint8Array(0);

  private constructor(file: Deno.FsFile, size: number) {
    this.#file = file;
    this.size = size;
  }

  /** Opens a file for reading. */
  static async open(path: string): Promise<FileWindow> {
    const file = await Deno.open(path);
    try {
      return new FileWindow(file, (await file.stat()).size);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * Gives `length` bytes at `offset`; fewer only where the file ends. The result is a view that is
   * valid until the next call.
   */
  async view(offset: number, length: number): Promise<Uint8Array> {
    const within = offset - this.#start;
    if (within >= 0 && within + length <= this.#window.length) {
      return this.#window.subarray(within, within + length);
    }
    this.#window = await this.#read(offset, Math.max(length, WINDOW_BYTES));
    this.#start = offset;
    return this.#window.subarray(0, length);
  }

  async #read(offset: number, length: number): Promise<Uint8Array> {
    const wanted = Math.max(0, Math.min(length, this.size - offset));
    const bytes = new Uint8Array(wanted);
    await this.#file.seek(offset, Deno.SeekMode.Start);
    let filled = 0;
    while (filled < wanted) {
      const count = await this.#file.read(bytes.subarray(filled));
      if (count === null) break;
      filled += count;
    }
    return bytes.subarray(0, filled);
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** Lines of a terminal. */

/** Reads lines of UTF-8 text from a stream. */
export class LineReader implements Disposable {
  #reader: ReadableStreamDefaultReader<Uint8Array>;
  #decoder = new TextDecoder();
  #buffer = "";
  #signal: AbortSignal;
  #abort: () => void;

  /** Takes the stream until it is disposed. */
  constructor(stream: ReadableStream<Uint8Array>, signal: AbortSignal) {
    this.#reader = stream.getReader();
    this.#signal = signal;
    this.#abort = () => this.#reader.cancel().catch(() => {});
    signal.addEventListener("abort", this.#abort, { once: true });
  }

  /** The next line without its end; undefined at the end of the stream. */
  async next(): Promise<string | undefined> {
    while (true) {
      const end = this.#buffer.indexOf("\n");
      if (end >= 0) {
        const line = this.#buffer.slice(0, end);
        this.#buffer = this.#buffer.slice(end + 1);
        return line.replace(/\r$/, "");
      }
      const { done, value } = await this.#reader.read();
      if (done) {
        const rest = this.#buffer;
        this.#buffer = "";
        return rest === "" ? undefined : rest;
      }
      this.#buffer += this.#decoder.decode(value, { stream: true });
    }
  }

  /** Gives the stream up. */
  [Symbol.dispose](): void {
    this.#signal.removeEventListener("abort", this.#abort);
    this.#reader.cancel().catch(() => {});
  }
}

/**
 * Writes to an HTTP/2 stream one buffer at a time: what comes meanwhile waits and goes together. Under
 * Deno 2.9, two writes in flight on one node:http2 stream over TLS end in a segmentation fault.
 */
import type { ClientHttp2Stream } from "node:http2";

/** Writes in order. */
export class StreamWriter {
  readonly #stream: ClientHttp2Stream;
  #waiting: Uint8Array[] = [];
  #busy = false;
  #ended = false;

  /** Writes to `stream`, which nobody else may write to. */
  constructor(stream: ClientHttp2Stream) {
    this.#stream = stream;
  }

  /** Writes; `bytes` must not change afterwards. */
  write(bytes: Uint8Array): void {
    this.#waiting.push(bytes);
    if (!this.#busy) this.#next();
  }

  /** Ends the stream after what was written. */
  end(): void {
    this.#ended = true;
    if (!this.#busy) this.#next();
  }

  #next(): void {
    const bytes = join(this.#waiting);
    this.#waiting = [];
    this.#busy = bytes !== undefined;
    // A failed write is followed by the stream's close, which ends the link.
    if (bytes) this.#stream.write(bytes, () => this.#next());
    else if (this.#ended) this.#stream.end();
  }
}

function join(parts: readonly Uint8Array[]): Uint8Array | undefined {
  if (parts.length < 2) return parts[0];
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

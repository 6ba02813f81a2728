/**
 * Memory for weights outside of the heap. What malloc is given back it keeps for later, once blocks of
 * many megabytes come and go; a node's resident memory was 110 MB larger for it. The pages of a buffer
 * that can be resized are mapped on their own and go back to the system when it shrinks.
 */

/** Zeroed bytes whose memory is returned when it is disposed; views of it are empty from then on. */
export class PageBuffer implements Disposable {
  /** All of it. */
  readonly buffer: ArrayBuffer;

  /**
   * Maps the pages; they take memory once they are written.
   * @throws {RangeError} where the address space does not hold them.
   */
  constructor(bytes: number) {
    this.buffer = new ArrayBuffer(bytes, { maxByteLength: bytes });
  }

  /** Part of it. */
  bytes(offset: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.buffer, offset, length);
  }

  /** Returns the memory. */
  [Symbol.dispose](): void {
    this.buffer.resize(0);
  }
}

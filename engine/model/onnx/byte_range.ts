/** Consecutive bytes of a file: what stands for a weight until a block is written. */
export interface ByteRange {
  /** The file's path. */
  path: string;
  /** Bytes from its start. */
  offset: number;
  /** Bytes. */
  length: number;
}

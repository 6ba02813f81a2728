/** What travels round the ring, in order, whatever carries it. */

/** Rows that a frame may have at most: a prefill chunk, or a row of every slot. */
export const MAX_FRAME_ROWS = 512;

/** Rows of a prefill chunk; larger ones cost memory and give nothing in ONNX Runtime. */
export const CHUNK_ROWS = 32;

/**
 * Messages that a link's receiver lets come before it takes one: as many as are under way on a link of 20 ms
 * between quick stages. With full frames, which no scheduler sends, they are 38 MB at a width of 576 values
 * and 268 MB at 4096: the most that a hostile predecessor can have a node hold.
 */
export const LINK_CREDITS = 32;

/** Nodes that a ring has at most. */
export const MAX_RING_NODES = 16;

/** Consecutive rows of one sample in a frame. */
export interface FrameSegment {
  /** The sample's id. */
  sample: number;
  /** Position of its first row. */
  position: number;
  /** Rows computed by every stage. */
  rows: number;
  /** How many of its last rows head needs; only these come back to the starter. */
  wanted: number;
}

/** Hidden rows of one or more samples. */
export interface FrameMessage {
  kind: "frame";
  /** The ring's wiring that it belongs to. */
  epoch: number;
  segments: FrameSegment[];
  /**
   * Rows of d_model values, one segment after another: all `rows` of each on the way to a stage, only
   * the `wanted` ones on the way back to the starter.
   */
  hidden: Float32Array;
}

/** Opens (capacity > 0), truncates or frees (capacity 0) a sample's cache on every node in turn. */
export interface CacheMessage {
  kind: "cache";
  epoch: number;
  sample: number;
  /** Tokens kept. */
  length: number;
  /** Tokens that the cache must be able to hold. */
  capacity: number;
}

/** One message of the ring. */
export type RingMessage = FrameMessage | CacheMessage;

/** The way out of a node: to its successor. */
export interface MessageSender {
  /** Resolves when the message is on its way, after waiting for the successor's credit. */
  send(message: RingMessage): Promise<void>;
}

/** The rows of a frame that head needs, from a frame that carries all of them. */
export function wantedRows(
  segments: readonly FrameSegment[],
  hidden: Float32Array,
  dModel: number,
): Float32Array {
  const wanted = segments.reduce((sum, segment) => sum + segment.wanted, 0);
  if (wanted * dModel === hidden.length) return hidden;
  const out = new Float32Array(wanted * dModel);
  let from = 0;
  let to = 0;
  for (const segment of segments) {
    from += segment.rows;
    const start = (from - segment.wanted) * dModel;
    out.set(hidden.subarray(start, from * dModel), to);
    to += segment.wanted * dModel;
  }
  return out;
}

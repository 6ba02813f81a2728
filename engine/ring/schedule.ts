/** The words of the scheduler: what it is made from, what it is told, what it answers. */
import type { MdiError } from "../../wasm/error.ts";
import type { Segment } from "../../wasm/stage.ts";

/** What a ring can take. All numbers are integers. */
export interface SchedulerConfig {
  /** Length of the ring, the starter included: 1 to 16. */
  nodes: number;
  /** Samples in the ring at once; at least as many as nodes keep every node busy. */
  slots: number;
  /** Rows of a prefill chunk. A chunk ends where a position is a multiple of it. */
  chunk: number;
  /** Cached tokens that every node can hold (see {@linkcode kvLimit} in kv_budget.ts). */
  kvTokens: number;
  /**
   * Tokens of a page: each sample's caches are counted as whole ones.
   *
   * @default {1}
   */
  kvPageTokens?: number;
  /** Samples that may wait for a slot. */
  queueLimit: number;
  /**
   * Frames that the decoding samples are spread over: their number in the ring and in head at once.
   * More than nodes pays where links are slow against the stages or rows gain nothing in a batch.
   *
   * @default {nodes}
   */
  decodeFrames?: number;
  /**
   * Prefill chunks in the ring at once.
   *
   * @default {nodes}
   */
  prefillFrames?: number;
  /** Told of every stay of a sample in a slot when it ends. */
  observe?: (stay: SlotStay) => void;
}

/** One turn of a sample in a slot. Times are numbers of steps: 1 is the first event. */
export interface SlotStay {
  /** Index of the slot. */
  slot: number;
  /** Who had it. */
  sample: number;
  /** The step that gave the slot to the sample. */
  from: number;
  /** The step that freed it. */
  to: number;
}

/** What happened. */
export type RingEvent =
  /** A new sample. Ids grow: none is used twice. */
  | {
    type: "submit";
    sample: number;
    /** Tokens of the prompt, at least 1. */
    tokens: number;
    /** Tokens that its caches must hold: prompt and limit. */
    capacity: number;
    /** Whether it pauses at its end, caches kept, until it is continued or cancelled (a chat). */
    keep?: boolean;
  }
  /** The next turn of a paused sample. */
  | {
    type: "continue";
    sample: number;
    /** Tokens that the new prompt has in common with all ids of the turn before, rejected or not. */
    length: number;
    /** Tokens of the whole new prompt. */
    tokens: number;
  }
  /** The last `compute` is done and its frame on its way: the starter may take other work. */
  | { type: "computed" }
  /** The oldest frame in the ring came back. In a ring of one: before or after its `computed`. */
  | { type: "returned" }
  /** The oldest `head` is done and a token was drawn for each of its rows. */
  | {
    type: "drawn";
    /** Those of its samples that ended with that token (end token, stop string, limit). */
    ended: readonly number[];
  }
  /** The sample's turn ends now, wherever it is: a kept sample pauses, another is released. */
  | { type: "stop"; sample: number }
  /** The sample goes now, wherever it is, paused or not. */
  | { type: "cancel"; sample: number };

/** Rows of one sample in a frame. */
export interface FrameSegment extends Segment {
  /** How many of the last rows head needs: 1 at the end of a prompt and at decode, else 0. */
  wanted: 0 | 1;
}

/** A row for head to turn into logits. */
export interface HeadRow {
  /** Whose token is to be drawn from it. */
  sample: number;
  /** Its index among the rows that the frame brought back. */
  row: number;
}

/** What is to be done, in this order. */
export type RingAction =
  /** Make the sample's cache on every node. */
  | { type: "open"; sample: number; capacity: number }
  /** Keep the first `length` tokens of its caches of `capacity` tokens. */
  | { type: "truncate"; sample: number; length: number; capacity: number }
  /** Free its caches. */
  | { type: "release"; sample: number }
  /** Run embed and the starter's layers over these rows, send the frame, report `computed`. */
  | { type: "compute"; segments: readonly FrameSegment[] }
  /**
   * Run head over these rows of the frame that came back, draw a token each, report `drawn`. A turn
   * that is stopped meanwhile, even continued, has no use for its token.
   */
  | { type: "head"; rows: readonly HeadRow[] }
  /** A turn that was taken in ended: once for every `submit` and `continue` not rejected. */
  | {
    type: "finish";
    sample: number;
    /** Whether it pauses, what its caches hold kept, and can be continued. */
    kept: boolean;
    /** Tokens of its prompt that the caches held when it got its slot; 0 where it had none. */
    cached: number;
  }
  /** The `submit` or `continue` of this very step is refused: "busy" or "memory". */
  | { type: "reject"; sample: number; error: MdiError };

/** The scheduler: told an event, it answers what to do. */
export interface Scheduler {
  /**
   * Takes an event in. The actions go to the stage and the link in their order; an event that
   * arises meanwhile waits until they are handed over.
   * @throws {RangeError} where the caller breaks the contract; nothing has changed then.
   * @throws {MdiError} protocol where a frame returns that never left.
   */
  step(event: RingEvent): RingAction[];
  /** Most cached tokens reserved at once so far, in whole pages. */
  readonly kvPeakTokens: number;
  /** The frame that must return next, to check the one that does; undefined where none is out. */
  readonly expected: readonly FrameSegment[] | undefined;
}

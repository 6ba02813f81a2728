/** The one error family of mdi. It lives in the lowest layer because every layer throws it. */

/**
 * Why something failed. The set is closed: `rpc/error.ts` maps each code to a Connect code and back,
 * `cli/exit.ts` maps each to an exit status, and nothing else interprets them.
 */
export type MdiErrorCode =
  /** The model file, directory or name does not exist or cannot be fetched. */
  | "model_missing"
  /** The model's bytes are truncated, contradictory or do not match their hash. */
  | "model_corrupt"
  /** The model is well-formed, but mdi or its backend cannot run it. */
  | "model_unsupported"
  /** The prompt and its limit do not fit the context. */
  | "context_exceeded"
  /** The address cannot be listened on. */
  | "address_in_use"
  /** A peer cannot be reached: unknown name, refused connection, time-out. */
  | "peer_unreachable"
  /** A peer was there and is gone. */
  | "peer_lost"
  /** A peer sent something that the protocol does not allow. */
  | "protocol"
  /** A token is missing, malformed, kept unsafely or not this ring's. */
  | "refused_token"
  /** The other side speaks another version or lacks a capability. */
  | "refused_version"
  /** The node serves another ring, or a queue is full. */
  | "busy"
  /** There is not enough memory. */
  | "memory"
  /** There is not enough disk, or the store cannot be written. */
  | "disk"
  /** The caller's AbortSignal, or a signal to the process, ended it. */
  | "cancelled"
  /** A defect of mdi itself. */
  | "internal";

/** What an {@linkcode MdiError} carries beside its message. */
export interface MdiErrorOptions extends ErrorOptions {
  /** Structured fields for programs and logs: the values the message names. */
  details?: Record<string, string | number | boolean>;
}

/**
 * An operational failure: not a caller's mistake (those are TypeError and RangeError) but a bad
 * file, a lost peer, a full disk. The message says what was tried, the value met and what to do.
 */
export class MdiError extends Error {
  /** The name that a stack trace begins with. */
  override readonly name = "MdiError";
  /** Why it failed. */
  readonly code: MdiErrorCode;
  /** The values that the message names. */
  readonly details: Readonly<Record<string, string | number | boolean>>;

  /** Makes an error of the given code. */
  constructor(code: MdiErrorCode, message: string, options: MdiErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

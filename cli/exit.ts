/** Exit statuses, documented in the README; the one place where an error becomes a status. */
import { MdiError, type MdiErrorCode } from "../wasm/error.ts";

/** Status of success. */
export const EXIT_OK = 0;
/** Status of a check that found something wrong, where nothing failed. */
export const EXIT_CHECK_FAILED = 1;
/** Status of a defect of mdi itself. */
const EXIT_INTERNAL = 1;
/** Status of wrong usage: flags, prompts, addresses. */
export const EXIT_USAGE = 2;

const STATUS: Record<MdiErrorCode | "usage", number> = {
  usage: EXIT_USAGE,
  model_missing: 3,
  model_corrupt: 3,
  model_unsupported: 3,
  context_exceeded: EXIT_USAGE,
  address_in_use: EXIT_USAGE,
  peer_unreachable: 4,
  peer_lost: 4,
  protocol: 4,
  refused_token: 5,
  refused_version: 5,
  busy: 5,
  memory: 6,
  disk: 6,
  cancelled: 130,
  internal: EXIT_INTERNAL,
};

/** The exit status for anything that was thrown. */
export function exitStatus(error: unknown): number {
  return STATUS[errorCode(error)];
}

/** The code that a `{"type":"error"}` record carries. */
export function errorCode(error: unknown): MdiErrorCode | "usage" {
  if (error instanceof MdiError) return error.code;
  if (!(error instanceof RangeError || error instanceof TypeError)) return "internal";
  if (/allocation failed|out of memory/i.test(error.message)) return "memory";
  // mdi's own say "Cannot X: why"; those of JavaScript itself, which are defects, have no such colon.
  return /^Cannot [^\n]+?: /.test(error.message) ? "usage" : "internal";
}

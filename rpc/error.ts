/**
 * The one place where an MdiError becomes a ConnectError and a ConnectError an MdiError. The code's name
 * travels as metadata; the Connect code is for tools that know nothing of mdi.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { MdiError, type MdiErrorCode, messageOf } from "../wasm/error.ts";
import { plainText } from "./plain_text.ts";

/** Metadata key of the MdiError code. */
const CODE_KEY = "mdi-code";

const CONNECT_CODES: Readonly<Record<MdiErrorCode, Code>> = {
  model_missing: Code.NotFound,
  model_corrupt: Code.DataLoss,
  model_unsupported: Code.Unimplemented,
  context_exceeded: Code.OutOfRange,
  address_in_use: Code.AlreadyExists,
  peer_unreachable: Code.Unavailable,
  peer_lost: Code.Aborted,
  protocol: Code.InvalidArgument,
  refused_token: Code.Unauthenticated,
  refused_version: Code.FailedPrecondition,
  busy: Code.ResourceExhausted,
  memory: Code.ResourceExhausted,
  disk: Code.ResourceExhausted,
  cancelled: Code.Canceled,
  internal: Code.Internal,
};

/**
 * What a Connect code means where no mdi code came with it: then Connect itself, or the connection,
 * failed. Which code a broken connection gives varies, so all but the plain ones mean that it is lost.
 */
const BARE_CODES: Readonly<Partial<Record<Code, MdiErrorCode>>> = {
  [Code.InvalidArgument]: "protocol",
  [Code.OutOfRange]: "protocol",
  [Code.ResourceExhausted]: "protocol",
  [Code.Unimplemented]: "refused_version",
  [Code.Unauthenticated]: "refused_token",
  [Code.PermissionDenied]: "refused_token",
  [Code.Unavailable]: "peer_unreachable",
};

/** Turns whatever a handler threw into what Connect sends. */
export function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error;
  const code: MdiErrorCode = error instanceof MdiError ? error.code : "internal";
  return new ConnectError(
    plainText(messageOf(error)),
    CONNECT_CODES[code],
    { [CODE_KEY]: code },
    undefined,
    error,
  );
}

/**
 * Turns whatever a call threw into an MdiError; one that is already an MdiError, or that has one as its
 * cause, stays what it is.
 * @param who the other side, for the message.
 * @param options.signal the caller's signal: where it is aborted, the error is "cancelled".
 */
export function fromConnectError(
  error: unknown,
  who: string,
  options: { signal?: AbortSignal | undefined } = {},
): MdiError {
  if (error instanceof MdiError) return error;
  if (error instanceof ConnectError && error.cause instanceof MdiError) return error.cause;
  const make = (code: MdiErrorCode, message: string) =>
    new MdiError(code, message, { cause: error, details: { peer: who } });
  if (options.signal?.aborted) return make("cancelled", `Cancelled a call to ${who}`);
  if (!(error instanceof ConnectError)) {
    return make("peer_lost", `Lost ${who}: ${lossReason(error)}`);
  }
  const reason = plainText(error.rawMessage) || "it gave no reason";
  const named = error.metadata.get(CODE_KEY);
  if (named !== null && isMdiErrorCode(named)) return make(named, `From ${who}: ${reason}`);
  const code = BARE_CODES[error.code] ?? "peer_lost";
  return code === "peer_lost"
    ? make(code, `Lost ${who}: ${lossReason(error)}`)
    : make(code, `From ${who}: ${reason}`);
}

/**
 * What Node, Deno and Connect say of a connection that the other side ended, each in its own way: codes,
 * the same in words, and HTTP/2 streams that go with their connection.
 */
const CLOSED_CODES = ["ECONNRESET", "ECONNABORTED", "EPIPE", "ERR_STREAM_PREMATURE_CLOSE"];
const CLOSED_WORDS = new RegExp(
  [
    "ECONNRESET|ECONNABORTED|EPIPE|socket hang up|premature close|connection reset|broken pipe",
    "unexpected (eof|end of file)|missing EndStreamResponse|^aborted$",
    "(session|stream) (has been|was|is) (destroyed|canceled|cancelled|closed)",
    "stream closed (unexpectedly )?with error code",
  ].join("|"),
  "i",
);

/** Why a connection that was in use failed, for people: a lower layer's words for its end become mdi's. */
export function lossReason(cause: unknown): string {
  if (cause === undefined) return "it closed the connection";
  const text = cause instanceof ConnectError ? cause.rawMessage : messageOf(cause);
  const code = String((cause as { code?: unknown } | null)?.code ?? "");
  if (CLOSED_CODES.includes(code) || CLOSED_WORDS.test(text)) return "it closed the connection";
  return plainText(text) || "it gave no reason";
}

/** Whether a word is one of the closed set of codes. */
export function isMdiErrorCode(word: string): word is MdiErrorCode {
  return Object.hasOwn(CONNECT_CODES, word);
}

/**
 * The sending end of a link over HTTP/2: a bidi Connect stream to `mdi.v1.Ring/Link`, written straight on
 * node:http2. What is on the wire is what a generated Connect client would send; what is left out are its
 * chained async iterators, which cost as much again as the rest of a message (bench/link_bench.ts).
 * The receiving end is `link_handler.ts`.
 */
import { fromBinary } from "@bufbuild/protobuf";
import {
  contentTypeStreamProto,
  createEndStreamSerialization,
  endStreamFlag,
  headerProtocolVersion,
  protocolVersion,
} from "@connectrpc/connect/protocol-connect";
import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from "node:http2";
import { MdiError, messageOf } from "../wasm/error.ts";
import type { Address } from "./address.ts";
import { encodeEnvelope, EnvelopeDecoder } from "./envelope.ts";
import { fromConnectError, lossReason } from "./error.ts";
import { connectionBytes } from "./http2_settings.ts";
import { LinkResponseSchema, Ring } from "./gen/mdi/v1/ring_pb.ts";
import type { RingIdentity } from "./identity.ts";
import type { LinkSender } from "./link.ts";
import { OutgoingLink, type OutgoingLinkOptions } from "./outgoing.ts";
import { openSession, type Session } from "./session.ts";

/** Where `mdi.v1.Ring/Link` is served. */
export const LINK_PATH = `/${Ring.typeName}/${Ring.method.link.name}`;

/** How {@linkcode openLink} opens. */
export interface OpenLinkOptions extends Omit<OutgoingLinkOptions, "closeTimeoutMs"> {
  /**
   * Limit on the successor's answer to the hello, in ms; connecting has the session's own limit.
   * @default {5000}
   */
  openTimeoutMs?: number;
  /**
   * Limit on waiting for the successor to take what was sent, in ms, when the link is closed.
   * @default {2000}
   */
  closeTimeoutMs?: number;
}

/** The successor sends credits and at the end a reason, so its messages are short. */
const MAX_RESPONSE_BYTES = 16 * 1024;
const COMPRESSED_FLAG = 1;
/**
 * Silence after which a successor is lost. The starter's control connections find a dead node sooner;
 * this one must bear with a starter whose program keeps its thread for a while.
 */
const SILENCE_MS = 5000;

const endStream = createEndStreamSerialization(undefined);

/** How {@linkcode connectLink} connects. */
export interface ConnectLinkOptions extends OpenLinkOptions {
  /** Who this node is; without it the successor must be on loopback. */
  identity?: RingIdentity | undefined;
}

/**
 * Connects to the successor and opens a link that owns the connection.
 * @throws {MdiError} as {@linkcode openLink}; refused_token.
 */
export async function connectLink(
  address: Address,
  options: ConnectLinkOptions,
): Promise<LinkSender> {
  const { identity, signal } = options;
  const session = openSession(address, { identity, signal, pingTimeoutMs: SILENCE_MS });
  try {
    return await open(session, options, () => session[Symbol.asyncDispose]());
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * Opens a link over a session. The successor has accepted it when this resolves.
 * @throws {MdiError} what the successor refuses with; peer_unreachable, peer_lost, cancelled.
 */
export function openLink(session: Session, options: OpenLinkOptions): Promise<LinkSender> {
  return open(session, options, () => {});
}

async function open(
  session: Session,
  options: OpenLinkOptions,
  release: () => void | PromiseLike<void>,
): Promise<LinkSender> {
  const { openTimeoutMs = 5000, closeTimeoutMs = 2000, signal } = options;
  const stream = await openStream(session, signal);
  const link = new OutgoingLink({
    write(message) {
      const bytes = encodeEnvelope(message);
      stream.write(bytes);
      return connectionBytes(bytes.length, session.encrypted);
    },
    end: () => stream.end(),
    destroy: async () => {
      await nextTurn();
      stream.close(constants.NGHTTP2_CANCEL);
      await release();
    },
  }, { ...options, closeTimeoutMs });
  readResponses(stream, link, session);
  const timer = setTimeout(() => {
    link.ended(
      new MdiError(
        "peer_unreachable",
        `The successor did not accept the link in ${openTimeoutMs} ms`,
        { details: { timeoutMs: openTimeoutMs } },
      ),
    );
  }, openTimeoutMs);
  try {
    await link.opened();
    return link;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * A link often ends by what it has just read. Under Deno 2.9 a connection over TLS that is torn down from
 * within its own reading corrupts memory: under load, one process in ten crashed.
 */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

async function openStream(
  session: Session,
  signal: AbortSignal | undefined,
): Promise<ClientHttp2Stream> {
  const cancelled = Promise.withResolvers<never>();
  const onAbort = () => cancelled.reject(signal!.reason);
  if (signal?.aborted) onAbort();
  signal?.addEventListener("abort", onAbort, { once: true });
  const opening = session.request("POST", LINK_PATH, {
    "content-type": contentTypeStreamProto,
    [headerProtocolVersion]: protocolVersion,
  }, {});
  try {
    return await Promise.race([opening, cancelled.promise]);
  } catch (error) {
    // A stream that comes too late is nobody's.
    opening.then((stream) => stream.close(constants.NGHTTP2_CANCEL), () => {});
    throw fromConnectError(error, "the successor", { signal });
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Passes credits and the end to the link. */
function readResponses(
  stream: ClientHttp2Stream,
  link: OutgoingLink,
  session: Session,
): void {
  const decoder = new EnvelopeDecoder(MAX_RESPONSE_BYTES);
  let cause: Error | undefined;
  stream.on("response", (headers: IncomingHttpHeaders) => {
    const refusal = refusalOf(headers);
    if (refusal) link.ended(refusal);
  });
  stream.on("data", (chunk: Uint8Array) => {
    try {
      for (const { flags, data } of decoder.decode(chunk)) onEnvelope(flags, data, link);
    } catch (error) {
      link.ended(error instanceof MdiError ? error : unreadable(error));
    }
  });
  // Under Deno data may come before the response's headers, so only the close says how it ended.
  stream.on("end", () => stream.close(constants.NGHTTP2_CANCEL));
  stream.on("error", (error: Error) => cause ??= error);
  stream.on("close", () => link.ended(lost(session.error ?? cause)));
}

function onEnvelope(flags: number, data: Uint8Array, link: OutgoingLink): void {
  if (flags & COMPRESSED_FLAG) throw unreadable("it is compressed");
  if (flags & endStreamFlag) {
    const { error } = endStream.parse(data);
    link.ended(error ? fromConnectError(error, "the successor") : null);
    return;
  }
  const { credits } = fromBinary(LinkResponseSchema, data);
  if (credits < 1) throw unreadable("it grants no credits");
  link.granted(credits);
}

function refusalOf(headers: IncomingHttpHeaders): MdiError | undefined {
  const status = headers[constants.HTTP2_HEADER_STATUS];
  const type = headers[constants.HTTP2_HEADER_CONTENT_TYPE];
  if (Number(status) === 200 && type === contentTypeStreamProto) return undefined;
  return new MdiError(
    "refused_version",
    `Cannot open the link: the successor answered with HTTP status ${status} and no link; run the same release on both`,
    { details: { status: Number(status) } },
  );
}

function unreadable(reason: unknown): MdiError {
  return new MdiError("protocol", `Cannot read the successor's answer: ${messageOf(reason)}`, {
    cause: reason,
  });
}

function lost(cause: MdiError | Error | undefined): MdiError {
  if (cause instanceof MdiError) return cause;
  return new MdiError("peer_lost", `Lost the link to the successor: ${lossReason(cause)}`, {
    cause,
  });
}

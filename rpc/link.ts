/**
 * The seam between the ring and the network: a link carries messages from a node to its successor, in
 * order, as credits allow. Implementations: `link_connect.ts` (HTTP/2) and `link_memory.ts`; both run
 * the contract test in `_link_contract.ts`.
 *
 * The receiver grants credits, the sender spends one a message. A slow receiver therefore halts its
 * predecessor, and no queue grows beyond the window that the receiver chose.
 */
import type { RingMessage } from "../engine/ring/message.ts";
import type { SpanRecorder } from "../engine/ring/spans.ts";
import type { MdiError } from "../wasm/error.ts";
import type { FrameCodec } from "./frame.ts";

/** How a sender introduces itself. */
export interface LinkHello {
  /** The ring's wiring that the link belongs to. */
  epoch: number;
  /** Index of the sending node in the ring; 0 is the starter. */
  from: number;
}

/** The predecessor's end of a link. Disposing it delivers what was sent and then closes the link. */
export interface LinkSender extends AsyncDisposable {
  /**
   * Sends a message as soon as there is a credit, after all messages before it. Resolves when it is on
   * its way; `message.hidden` may be reused then.
   * @throws {RangeError | TypeError} where the message is malformed.
   * @throws {MdiError} the reason of {@linkcode LinkSender.down}; cancelled by the signal, in which
   * case nothing was sent.
   */
  send(message: RingMessage, options?: { signal?: AbortSignal | undefined }): Promise<void>;
  /** Resolves when the link has ended, with the reason, or null where this end closed it in order. */
  readonly down: Promise<MdiError | null>;
  /** Bytes that the messages took on the connection, with what HTTP/2 and TLS add to them. */
  readonly bytesSent: number;
  /** Time that messages have waited for credits, in ms. */
  readonly creditWaitMs: number;
  /** Time spent turning messages into bytes, in ms. */
  readonly encodeMs: number;
}

/**
 * The successor's end of a link: messages of the link's own epoch, in order, to be iterated once.
 * The iteration ends when the sender has closed in order and throws an MdiError (peer_lost, protocol,
 * cancelled) when the link broke. Leaving the loop closes the link.
 */
export interface LinkReceiver extends AsyncIterable<RingMessage>, AsyncDisposable {
  /** How the sender introduced itself. */
  readonly hello: LinkHello;
  /** Messages of another epoch, which were dropped. */
  readonly dropped: number;
  /** Time spent turning bytes into messages, in ms. */
  readonly decodeMs: number;
  /** Ends the link at once; the sender learns the reason where one is given. */
  close(reason?: MdiError): void;
}

/** What a node answers to a hello that it accepts. */
export interface LinkTerms {
  /** Checks and decodes the messages. */
  codec: FrameCodec;
  /** How many messages may be on their way or queued. */
  credits: number;
  /** Records what the link does, where the run is traced. */
  spans?: SpanRecorder | undefined;
  /** Takes the link. Called once, before the first message. */
  receive: (link: LinkReceiver) => void;
}

/** Decides on a hello. Throws an MdiError to refuse, which the sender gets as the link's end. */
export type LinkAcceptor = (hello: LinkHello) => LinkTerms;

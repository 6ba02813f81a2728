/**
 * The receiving end of a link over HTTP/2: a handler of `mdi.v1.Ring/Link` for a ConnectRouter. It takes
 * Connect's own place between HTTP and messages, because that is where half of a message's cost is, and
 * because a link's limits depend on what was said before: nothing but a hello of a few bytes is read
 * until the node has accepted it, and a message that is too long is refused by its header.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import type { ConnectRouter, ContextValues } from "@connectrpc/connect";
import {
  contentTypeStreamProto,
  createEndStreamSerialization,
  endStreamFlag,
} from "@connectrpc/connect/protocol-connect";
import { MdiError } from "../wasm/error.ts";
import { encodeEnvelope, EnvelopeDecoder } from "./envelope.ts";
import { toConnectError } from "./error.ts";
import { LinkResponseSchema, Ring } from "./gen/mdi/v1/ring_pb.ts";
import { type IncomingCarrier, IncomingLink, predecessorLost } from "./incoming.ts";
import type { LinkHello, LinkTerms } from "./link.ts";
import { LINK_PATH } from "./link_connect.ts";

/** The call that a hello came with; `peerOf(call)` of request_handler.ts tells whose it is. */
export interface LinkCall {
  /** Values of the request's context. */
  values: ContextValues;
}

/** How {@linkcode createLinkHandler} receives. */
export interface LinkHandlerOptions {
  /**
   * Limit on waiting for the hello, in ms.
   * @default {5000}
   */
  helloTimeoutMs?: number;
}

type Handler = ConnectRouter["handlers"][number];
type Request = Parameters<Handler>[0];
type Response = Awaited<ReturnType<Handler>>;

const LINK_TYPE = /^application\/connect\+proto$/;
const COMPRESSED_FLAG = 1;
const endStream = createEndStreamSerialization(undefined);

/**
 * Makes a function that adds the Ring service to a router. `accept` decides on each link and gets it as a
 * LinkReceiver; an MdiError that it throws reaches the sender.
 */
export function createLinkHandler(
  accept: (hello: LinkHello, call: LinkCall) => LinkTerms,
  options: LinkHandlerOptions = {},
): (router: ConnectRouter) => void {
  const { helloTimeoutMs = 5000 } = options;

  function handle(request: Request): Promise<Response> {
    const refusal = refusalOf(request);
    if (refusal) return Promise.resolve({ status: refusal });
    const values = request.contextValues!;
    const replies = new Replies();
    const link = new IncomingLink(replies, (hello) => accept(hello, { values }));
    receive(request, link, helloTimeoutMs);
    return Promise.resolve({
      status: 200,
      header: new Headers({ "content-type": contentTypeStreamProto }),
      body: replies,
    });
  }

  return (router) => {
    router.handlers.push(Object.assign(handle, {
      service: Ring,
      method: Ring.method.link,
      requestPath: LINK_PATH,
      protocolNames: ["connect"],
      allowedMethods: ["POST"],
      supportedContentType: Object.assign(isLinkType, { supported: [LINK_TYPE] }),
    }));
  };
}

/** The HTTP status for what is no link: JSON, another protocol, HTTP/1. */
function refusalOf({ method, header, httpVersion, body }: Request): number | undefined {
  if (httpVersion.startsWith("1.")) return 505;
  if (method !== "POST") return 405;
  if (!isLinkType(header.get("content-type")) || !isByteStream(body)) return 415;
}

function isLinkType(type: string | null): boolean {
  return type !== null && LINK_TYPE.test(type);
}

function isByteStream(body: Request["body"]): body is AsyncIterable<Uint8Array> {
  return typeof body === "object" && body !== null && Symbol.asyncIterator in body;
}

/** Reads until either side ends the link: a stream that breaks off throws, one that is half-closed ends. */
async function receive(
  request: Request,
  link: IncomingLink,
  helloTimeoutMs: number,
): Promise<void> {
  const timer = setTimeout(() => {
    if (!link.greeted) link.fail(tooLate(helloTimeoutMs));
  }, helloTimeoutMs);
  const decoder = new EnvelopeDecoder(link.maxMessageBytes);
  try {
    for await (const chunk of request.body as AsyncIterable<Uint8Array>) {
      take(chunk, decoder, link);
      if (link.finished) return;
    }
    if (decoder.partial) link.fail(truncated());
    else link.ended();
  } catch (error) {
    link.fail(predecessorLost(error));
  } finally {
    clearTimeout(timer);
  }
}

function take(chunk: Uint8Array, decoder: EnvelopeDecoder, link: IncomingLink): void {
  try {
    for (const { flags, data } of decoder.decode(chunk)) {
      if (flags !== 0) throw badFlags(flags);
      link.message(data);
      decoder.maxBytes = link.maxMessageBytes;
    }
  } catch (error) {
    link.fail(error as MdiError);
  }
}

/** The response's body: credits, added up where the stream is slow, and at last the end of the stream. */
class Replies implements IncomingCarrier, AsyncIterableIterator<Uint8Array> {
  #credits = 0;
  #end: MdiError | null | undefined;
  #done = false;
  #reader: PromiseWithResolvers<IteratorResult<Uint8Array>> | undefined;

  grant(credits: number): void {
    this.#credits += credits;
    this.#deliver();
  }

  end(reason: MdiError | null): void {
    this.#end = reason;
    this.#deliver();
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    const reader = this.#reader ??= Promise.withResolvers();
    this.#deliver();
    return reader.promise;
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    this.#done = true;
    this.#deliver();
    return Promise.resolve({ value: undefined, done: true });
  }

  /** The stream broke while it was written; whoever reads it sees that too. */
  throw(reason: unknown): Promise<IteratorResult<Uint8Array>> {
    this.return();
    return Promise.reject(reason);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #deliver(): void {
    const reader = this.#reader;
    if (!reader) return;
    const value = this.#take();
    if (!value && !this.#done) return;
    this.#reader = undefined;
    reader.resolve(value ? { value, done: false } : { value: undefined, done: true });
  }

  #take(): Uint8Array | undefined {
    if (this.#done) return undefined;
    if (this.#end !== undefined) {
      this.#done = true;
      return encodeEnd(this.#end);
    }
    if (this.#credits === 0) return undefined;
    const credits = this.#credits;
    this.#credits = 0;
    return encodeEnvelope(toBinary(LinkResponseSchema, create(LinkResponseSchema, { credits })));
  }
}

function encodeEnd(reason: MdiError | null): Uint8Array {
  const metadata = new Headers();
  const end = reason ? { metadata, error: toConnectError(reason) } : { metadata };
  return encodeEnvelope(endStream.serialize(end), endStreamFlag);
}

function badFlags(flags: number): MdiError {
  const what = flags & COMPRESSED_FLAG ? "it is compressed" : `its flags are ${flags}, expected 0`;
  return new MdiError("protocol", `Cannot take the message: ${what}`, {
    details: { field: "flags", met: flags, expected: 0 },
  });
}

function truncated(): MdiError {
  return new MdiError("protocol", "Cannot take the message: the stream ends inside it", {
    details: { field: "message", met: "truncated" },
  });
}

function tooLate(ms: number): MdiError {
  return new MdiError("protocol", `Cannot open the link: no hello in ${ms} ms`, {
    details: { timeoutMs: ms },
  });
}

/**
 * From a node:http2 request to a Connect handler. connect-node's own adapter is not used, because it
 * writes failures to the console and throws on a malformed authority, which would end the process.
 */
import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { type ConnectRouter, createConnectRouter, createContextValues } from "@connectrpc/connect";
import { type ContextValues, createContextKey } from "@connectrpc/connect";
import {
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { Address } from "./address.ts";

/** Who called. */
export interface Peer {
  /** The name in its certificate; undefined without a token. */
  name: string | undefined;
  /** Its address on this connection. */
  remoteAddress: Address;
  /** This node's address on this connection. */
  localAddress: Address;
}

/** What {@linkcode createRequestHandler} serves. */
export interface RequestHandlerOptions {
  /** Registers the services. */
  routes: (router: ConnectRouter) => void;
  /** Who is at the other end of a request's connection. */
  peerOf: (request: Http2ServerRequest) => Peer;
  /** Longest message that is read, in bytes. */
  readMaxBytes: number;
  /** Aborts the signals of all handlers. */
  shutdownSignal: AbortSignal;
}

const PEER = createContextKey<Peer | undefined>(undefined, { description: "mdi peer" });
const CONTENT_TYPES = ["application/proto", "application/connect+proto"];

/**
 * Who called, for a handler: `peerOf(context)`.
 * @throws {TypeError} where the call did not come through a server of mdi.
 */
export function peerOf(context: { values: ContextValues }): Peer {
  const peer = context.values.get(PEER);
  if (!peer) throw new TypeError("Cannot tell the peer: the call came by no connection");
  return peer;
}

/** Makes the listener for a server's "request" event. Of Connect it speaks POST and binary only. */
export function createRequestHandler(
  options: RequestHandlerOptions,
): (request: Http2ServerRequest, response: Http2ServerResponse) => void {
  const router = createConnectRouter({
    grpc: false,
    grpcWeb: false,
    acceptCompression: [],
    readMaxBytes: options.readMaxBytes,
    shutdownSignal: options.shutdownSignal,
  });
  options.routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));

  return (request, response) => {
    // A stream that its peer resets emits an error, which must not become an uncaught one.
    request.stream.on("error", () => {});
    const handler = handlers.get(request.url);
    if (!handler) return refuse(request, response, 404);
    if (request.method !== "POST") return refuse(request, response, 405);
    if (!CONTENT_TYPES.includes(request.headers["content-type"] ?? "")) {
      return refuse(request, response, 415);
    }
    answer(handler, request, response).catch(() => {
      request.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    });
  };

  async function answer(
    handler: ConnectRouter["handlers"][number],
    request: Http2ServerRequest,
    response: Http2ServerResponse,
  ): Promise<void> {
    const values = createContextValues().set(PEER, options.peerOf(request));
    const call = universalRequestFromNodeRequest(request, response, undefined, values);
    const answered = await handler(call);
    const { body } = answered;
    if (body) endWithStream(body[Symbol.asyncIterator](), request);
    await universalResponseToNodeResponse(answered, response);
  }
}

/**
 * Ends a handler whose caller is gone. connect-node may wait for a "drain" that a closed stream does not emit, and
 * the handler, which waits for its message to be taken, would keep its files for ever.
 */
function endWithStream(body: AsyncIterator<Uint8Array>, { stream }: Http2ServerRequest): void {
  const end = () => void body.return?.().catch(() => {});
  if (stream.closed || stream.destroyed) end();
  else stream.once("close", end);
}

function refuse(request: Http2ServerRequest, response: Http2ServerResponse, status: number): void {
  response.writeHead(status);
  response.end(() => request.stream.close());
}

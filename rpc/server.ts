/**
 * The server's side: Connect over HTTP/2, with mutual TLS 1.3 where the ring has a token and on loopback
 * only where it has none. Nothing that a stranger sends ends the process, holds a descriptor for longer
 * than the handshake limit, or reaches a handler.
 *
 * Connections are ended by their sockets and never by destroy() or close() of their HTTP/2 sessions: those
 * send a GOAWAY, on which Deno 2.9 may crash inside nghttp2 at either end (denoland/deno#36788).
 * A peer that sends one of its own accord may still do that: a member, or a program on this device.
 */
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type Http2Session,
  type ServerHttp2Session,
} from "node:http2";
import { type AddressInfo, Server as NetServer, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { ConnectRouter } from "@connectrpc/connect";
import { MdiError, messageOf } from "../wasm/error.ts";
import { type Address, formatAddress, resolveHost, socketAddress } from "./address.ts";
import { requireTokenBeyondLoopback } from "./admission.ts";
import { http2Settings, READ_MAX_BYTES, WINDOW_BYTES } from "./http2_settings.ts";
import type { RingIdentity } from "./identity.ts";
import { keepAlive } from "./keep_alive.ts";
import { createRequestHandler, type Peer } from "./request_handler.ts";

/** What {@linkcode serve} serves, and where. */
export interface ServeOptions {
  /** Where to listen; port 0 lets the system choose. */
  listen: Address;
  /** Who this node is; without it only loopback is allowed. */
  identity?: RingIdentity | undefined;
  /** Registers the services. */
  routes: (router: ConnectRouter) => void;
  /** Closes the server. */
  signal?: AbortSignal | undefined;
  /** Settles when handlers have let go of everything; `close()` waits for it when the connections are closed. */
  settled?: () => Promise<void>;
  /**
   * Longest message that is read, in bytes.
   * @default {16777216}
   */
  readMaxBytes?: number;
  /**
   * Flow-control window in bytes.
   * @default {1048576}
   */
  windowSize?: number;
  /**
   * Connections at once, those in their handshake included; more are closed as they come.
   * @default {128}
   */
  maxConnections?: number;
  /**
   * How long TLS and the HTTP/2 preface may take together, in ms.
   * @default {3000}
   */
  handshakeTimeoutMs?: number;
  /**
   * Time between pings in ms.
   * @default {1000}
   */
  pingIntervalMs?: number;
  /**
   * How long a ping may stay unanswered in ms. A program that embeds mdi may keep its thread for a
   * while, so this is longer than what a starter grants its secondaries.
   * @default {5000}
   */
  pingTimeoutMs?: number;
}

/** A server that listens. */
export interface NodeServer extends AsyncDisposable {
  /** Where it listens, with the port that the system chose. */
  readonly address: Address;
  /** Connections now. */
  readonly connections: number;
  /** Connections that were closed before they spoke HTTP/2: strangers, garbage, too many at once. */
  readonly refused: number;
  /** Ends all connections and stops listening; the port is free when it resolves. */
  close(): Promise<void>;
}

/**
 * Listens.
 * @throws {MdiError} address_in_use where the address cannot be listened on; refused_token beyond
 * loopback without an identity; cancelled by the signal.
 */
export async function serve(options: ServeOptions): Promise<NodeServer> {
  const { listen, identity, signal } = options;
  if (signal?.aborted) throw cancelled(listen, signal);
  const host = await resolveHost(listen.host, { signal }).catch((cause) => {
    throw cause.code === "cancelled"
      ? cause
      : cannotListen(listen, "the name does not resolve", cause);
  });
  requireTokenBeyondLoopback({ hasToken: !!identity, listen: { host, port: listen.port } });
  const server = new ListeningServer(options);
  await server.listen({ host, port: listen.port });
  return server;
}

class ListeningServer implements NodeServer {
  address: Address;
  readonly #options: ServeOptions;
  readonly #server: Http2Server | Http2SecureServer;
  readonly #shutdown = new AbortController();
  /** By the remote address: TLS hides a connection's socket behind its own. */
  readonly #connections = new Map<string, Connection>();
  #refused = 0;
  #closing: Promise<void> | undefined;

  constructor(options: ServeOptions) {
    this.address = options.listen;
    this.#options = options;
    this.#server = createHttp2Server(options);
    // Strangers' errors end with their connections, and are counted there.
    for (const event of ["sessionError", "tlsClientError", "clientError"]) {
      this.#server.on(event, () => {});
    }
    this.#server.prependListener("connection", (socket: Socket) => this.#onConnection(socket));
    this.#server.on("session", (session: ServerHttp2Session) => this.#onSession(session));
    this.#server.on(
      "request",
      createRequestHandler({
        routes: options.routes,
        peerOf: (request) => peerOfSession(request.stream.session!),
        readMaxBytes: options.readMaxBytes ?? READ_MAX_BYTES,
        shutdownSignal: this.#shutdown.signal,
      }),
    );
  }

  get connections(): number {
    return this.#connections.size;
  }

  get refused(): number {
    return this.#refused;
  }

  async listen(address: Address): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.on("error", (cause: Error) => reject(listenError(this.#options.listen, cause)));
    this.#server.listen(address.port, address.host, resolve);
    await promise;
    const bound = this.#server.address() as AddressInfo;
    this.address = { host: bound.address, port: bound.port };
    this.#options.signal?.addEventListener("abort", this.#onSignal, { once: true });
    if (this.#options.signal?.aborted) {
      await this.close();
      throw cancelled(this.#options.listen, this.#options.signal);
    }
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #onSignal = (): void => void this.close();

  async #close(): Promise<void> {
    this.#options.signal?.removeEventListener("abort", this.#onSignal);
    this.#shutdown.abort(new MdiError("cancelled", "The node is closing"));
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const sockets = [...this.#connections.values()].map((connection) => {
      connection.socket.destroy();
      return connection.closed;
    });
    await Promise.all([closed, ...sockets]);
    await this.#options.settled?.();
  }

  #onConnection(socket: Socket): void {
    const { maxConnections = 128, handshakeTimeoutMs = 3000 } = this.#options;
    socket.on("error", () => {});
    if (this.#connections.size >= maxConnections || this.#closing) {
      this.#refused++;
      socket.destroy();
      return;
    }
    const key = remoteKey(socket);
    const closed = Promise.withResolvers<void>();
    const connection: Connection = { socket, closed: closed.promise, greeted: false };
    this.#connections.set(key, connection);
    connection.deadline = setTimeout(() => socket.destroy(), handshakeTimeoutMs);
    socket.once("close", () => {
      clearTimeout(connection.deadline);
      if (!connection.greeted) this.#refused++;
      this.#connections.delete(key);
      closed.resolve();
    });
  }

  #onSession(session: ServerHttp2Session): void {
    const { windowSize = WINDOW_BYTES, pingIntervalMs = 1000, pingTimeoutMs = 5000 } =
      this.#options;
    const connection = this.#connections.get(remoteKey(session.socket));
    session.on("error", () => {});
    if (!connection) return;
    session.setLocalWindowSize(windowSize);
    // A client's SETTINGS end its preface (RFC 9113, section 3.4).
    session.once("remoteSettings", () => {
      connection.greeted = true;
      clearTimeout(connection.deadline);
      if (session.destroyed) return;
      keepAlive(session, {
        intervalMs: pingIntervalMs,
        timeoutMs: pingTimeoutMs,
        onSilence: () => connection.socket.destroy(),
      });
    });
  }
}

interface Connection {
  socket: Socket;
  closed: Promise<void>;
  greeted: boolean;
  deadline?: ReturnType<typeof setTimeout>;
}

function createHttp2Server(options: ServeOptions): Http2Server | Http2SecureServer {
  const { identity, windowSize = WINDOW_BYTES, handshakeTimeoutMs = 3000 } = options;
  const settings = http2Settings(windowSize);
  if (!identity) return createServer({ settings });
  const { ca, cert, key } = identity;
  const server = createSecureServer({
    settings,
    ca,
    cert,
    key,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: "TLSv1.3",
    ALPNProtocols: ["h2"],
    handshakeTimeout: handshakeTimeoutMs,
  });
  if (!isNodeServer(server)) {
    throw new MdiError(
      "address_in_use",
      `Cannot listen on ${
        formatAddress(options.listen)
      } with a token: Deno ${Deno.version.deno}, which runs this mdi, cannot ask peers for their certificates; use one of Deno 2.9 or newer, or stay on this device without a token`,
      { details: { deno: Deno.version.deno } },
    );
  }
  return server;
}

/**
 * Whether this Deno can serve peers with certificates. Deno 2.7 has no TLS server of Node's kind: it listens with
 * Deno.listenTls, which leaves out `ca`, `requestCert`, `minVersion` and the host, so that any stranger would be
 * served, on all interfaces. Nor does its HTTP/2 work over a TLS socket ("Failed to open TCP handle from resource").
 * What it lacks is the whole of authentication.
 */
export function servesTls(): boolean {
  return isNodeServer(createSecureServer({}));
}

function isNodeServer(server: Http2SecureServer): boolean {
  return server instanceof NetServer;
}

function remoteKey(socket: Socket | TLSSocket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}

function peerOfSession(session: Http2Session): Peer {
  const socket = session.socket as TLSSocket;
  const name: unknown = socket.getPeerCertificate?.()?.subject?.CN;
  return {
    name: typeof name === "string" ? name : undefined,
    remoteAddress: socketAddress(socket.remoteAddress, socket.remotePort),
    localAddress: socketAddress(socket.localAddress, socket.localPort),
  };
}

function listenError(listen: Address, cause: Error): MdiError {
  switch ((cause as { code?: string }).code) {
    case "EADDRINUSE":
      return cannotListen(listen, "another program listens there", cause);
    case "EACCES":
    case "EPERM":
      return cannotListen(listen, "this user may not", cause);
    case "EADDRNOTAVAIL":
    case "EINVAL":
      return cannotListen(listen, "it is no address of this device", cause);
  }
  return cannotListen(listen, messageOf(cause), cause);
}

function cannotListen(listen: Address, why: string, cause: unknown): MdiError {
  const text = formatAddress(listen);
  return new MdiError(
    "address_in_use",
    `Cannot listen on ${text}: ${why}; choose another with --listen`,
    { cause, details: { listen: text } },
  );
}

function cancelled(listen: Address, signal: AbortSignal): MdiError {
  return new MdiError("cancelled", `Cannot listen on ${formatAddress(listen)}: cancelled`, {
    cause: signal.reason,
  });
}

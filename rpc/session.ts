/**
 * The client's side: one HTTP/2 connection to a peer that carries Connect calls. connect-node's own
 * session manager is not used, because under Deno it spins for ever when a peer accepts and closes at
 * once. A session connects once; when it is down it stays down, and whoever needs the peer opens another.
 */
import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import type { OutgoingHttpHeaders } from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import type { Interceptor, Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { MdiError } from "../wasm/error.ts";
import { type Address, formatAddress, resolveHost, socketAddress } from "./address.ts";
import { requireTokenBeyondLoopback } from "./admission.ts";
import { toConnectError } from "./error.ts";
import { http2Settings, READ_MAX_BYTES, WINDOW_BYTES } from "./http2_settings.ts";
import { RING_SERVER_NAME, type RingIdentity } from "./identity.ts";
import { keepAlive } from "./keep_alive.ts";
import { cancelled, explainEnd, fellSilent, type SessionStage, timedOut } from "./session_error.ts";

/** How {@linkcode openSession} connects. */
export interface SessionOptions {
  /** Who this node is; without it the connection is not encrypted and must stay on loopback. */
  identity?: RingIdentity | undefined;
  /**
   * Limit on resolving the name, connecting and the handshake together, in ms.
   * @default {3000}
   */
  connectTimeoutMs?: number;
  /**
   * Time between pings in ms.
   * @default {200}
   */
  pingIntervalMs?: number;
  /**
   * How long a ping may stay unanswered in ms.
   * @default {1000}
   */
  pingTimeoutMs?: number;
  /**
   * Flow-control window in bytes.
   * @default {1048576}
   */
  windowSize?: number;
  /**
   * Longest message that is read, in bytes.
   * @default {16777216}
   */
  readMaxBytes?: number;
  /** Ends the session. */
  signal?: AbortSignal | undefined;
  /** Called once, when a session that was open goes down and this side did not end it. */
  onDown?: (error: MdiError) => void;
}

/** A connection to a peer. */
export interface Session extends Disposable, AsyncDisposable {
  /** Whom it is to, as it was given. */
  readonly address: Address;
  /** For Connect clients; the first call connects where {@linkcode Session.ready} was not called. */
  readonly transport: Transport;
  /** Opens a stream, for calls that go without Connect's client; connects like the first call. */
  request(
    method: string,
    path: string,
    headers: OutgoingHttpHeaders,
    options: object,
  ): Promise<ClientHttp2Stream>;
  /** Whether it goes over TLS. */
  readonly encrypted: boolean;
  /** This side's address on this very connection; undefined before it is open. */
  readonly localAddress: Address | undefined;
  /** The peer's address as it was resolved; undefined before it is open. */
  readonly remoteAddress: Address | undefined;
  /** Round trip of the last ping in ms; NaN before the first. */
  readonly rttMs: number;
  /** Why the session is down; undefined while it is not. */
  readonly error: MdiError | undefined;
  /**
   * Connects. The peer has accepted this side's certificate when this resolves.
   * @throws {MdiError} peer_unreachable, refused_token, or cancelled.
   */
  ready(): Promise<void>;
  /** Lets running calls end, for at most `graceMs` (1000 where not given), and closes. */
  close(options?: { graceMs?: number }): Promise<void>;
  /** Ends it at once; running calls fail. */
  abort(error?: MdiError): void;
}

/** Prepares a connection to a peer; nothing is sent before `ready()` or the first call. */
export function openSession(address: Address, options: SessionOptions = {}): Session {
  return new Http2Session(address, options);
}

class Http2Session implements Session {
  readonly address: Address;
  readonly transport: Transport;
  readonly authority: string;
  readonly encrypted: boolean;
  rttMs = NaN;
  localAddress: Address | undefined;
  remoteAddress: Address | undefined;
  readonly #options: SessionOptions;
  readonly #ending = new AbortController();
  readonly #streams = new Set<ClientHttp2Stream>();
  #stage: SessionStage = "connecting";
  #opening: Promise<ClientHttp2Session> | undefined;
  #socket: Socket | undefined;
  #closed: Promise<void> | undefined;
  #error: MdiError | undefined;
  #ours = false;

  constructor(address: Address, options: SessionOptions) {
    this.address = address;
    this.encrypted = options.identity !== undefined;
    const scheme = this.encrypted ? "https" : "http";
    // Connect compares it with the origin of its requests, in which a default port is left out.
    this.authority = new URL(`${scheme}://${formatAddress(address)}`).origin;
    this.#options = options;
    this.transport = createConnectTransport({
      httpVersion: "2",
      baseUrl: this.authority,
      sessionManager: this,
      interceptors: [this.#endWithSession],
      acceptCompression: [],
      readMaxBytes: options.readMaxBytes ?? READ_MAX_BYTES,
    });
    const { signal } = options;
    if (signal?.aborted) this.#onSignal();
    signal?.addEventListener("abort", this.#onSignal, { once: true });
  }

  get error(): MdiError | undefined {
    return this.#error;
  }

  async ready(): Promise<void> {
    await this.#open();
  }

  /** What connect-node asks of a session manager: a new stream. */
  async request(
    method: string,
    path: string,
    headers: OutgoingHttpHeaders,
    options: object,
  ): Promise<ClientHttp2Stream> {
    try {
      const connection = await this.#open();
      const stream = connection.request({
        ...headers,
        ":method": method,
        ":path": path,
        // Deno would write an IPv6 address without its brackets.
        ":authority": RING_SERVER_NAME,
      }, options);
      this.#streams.add(stream);
      stream.on("error", () => {}); // connect-node listens a moment later
      stream.once("close", () => this.#streams.delete(stream));
      return stream;
    } catch (cause) {
      throw toConnectError(this.#error ?? cause);
    }
  }

  /** What connect-node tells a session manager; pings do not depend on it. */
  notifyResponseByteRead(): void {}

  async close(options: { graceMs?: number } = {}): Promise<void> {
    this.#ours = true;
    const grace = Promise.withResolvers<void>();
    const timer = setTimeout(grace.resolve, options.graceMs ?? 1000);
    const streams = [...this.#streams].map((stream) => once(stream, "close").catch(() => {}));
    await Promise.race([Promise.all(streams), grace.promise, this.#closed ?? grace.promise]);
    clearTimeout(timer);
    this.abort();
    await this.#gone();
  }

  abort(error?: MdiError): void {
    this.#ours = true;
    this.#down(error ?? cancelled(this.address));
  }

  [Symbol.dispose](): void {
    this.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.abort();
    await this.#gone();
  }

  /**
   * Waits for the connection's end. Under Deno it does not come while a stream has data that nobody reads;
   * those streams go here, in a turn of their own and not from within what they were reading.
   */
  async #gone(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    for (const stream of this.#streams) stream.destroy();
    await this.#closed;
  }

  /**
   * Fails a call when the session goes down, and with its reason: of a stream whose session is destroyed
   * connect-node does not always hear, and would wait for ever.
   */
  #endWithSession: Interceptor = (next) => (request) => {
    const signal = AbortSignal.any([request.signal, this.#ending.signal]);
    return next(request.stream ? { ...request, signal } : { ...request, signal });
  };

  #onSignal = (): void => this.abort(cancelled(this.address, this.#options.signal?.reason));

  #down(error: MdiError): void {
    if (this.#error) return;
    this.#error = error;
    this.#options.signal?.removeEventListener("abort", this.#onSignal);
    this.#ending.abort(error);
    // Not the connection's own destroy() or close(): each sends a GOAWAY, on which Deno 2.9 may crash
    // inside nghttp2 at either end (denoland/deno#36788).
    this.#socket?.destroy();
    if (this.#stage === "open" && !this.#ours) this.#options.onDown?.(error);
  }

  #open(): Promise<ClientHttp2Session> {
    if (this.#error) return Promise.reject(this.#error);
    if (this.#ours) return Promise.reject(cancelled(this.address));
    return this.#opening ??= this.#connect();
  }

  async #connect(): Promise<ClientHttp2Session> {
    const timeoutMs = this.#options.connectTimeoutMs ?? 3000;
    const timer = setTimeout(() => this.#down(timedOut(this.address, timeoutMs)), timeoutMs);
    try {
      const host = await resolveHost(this.address.host, { signal: this.#ending.signal });
      if (this.#error) throw this.#error;
      const { port } = this.address;
      requireTokenBeyondLoopback({ hasToken: !!this.#options.identity, peers: [{ host, port }] });
      return await this.#dial({ host, port });
    } catch (error) {
      this.#down(error instanceof MdiError ? error : explainEnd(this.#end(error as Error)));
      throw this.#error;
    } finally {
      clearTimeout(timer);
    }
  }

  #dial(address: Address): Promise<ClientHttp2Session> {
    const { identity, windowSize = WINDOW_BYTES } = this.#options;
    const socket = identity
      ? connectTls({ ...address, ...tlsOptions(identity) })
      : connectTcp(address);
    const connection = connect(this.authority, {
      settings: http2Settings(windowSize),
      createConnection: () => socket,
    });
    socket.on("error", () => {}); // the connection reports it
    this.#socket = socket;
    const opened = Promise.withResolvers<ClientHttp2Session>();
    const closed = Promise.withResolvers<void>();
    this.#closed = closed.promise;
    const { signal } = this.#ending;
    signal.addEventListener("abort", () => opened.reject(signal.reason), { once: true });
    let cause: Error | undefined;
    // Never removed: an error may come late, and must not become an uncaught one.
    connection.on("error", (error: Error) => cause ??= error);
    connection.once("close", () => {
      this.#down(this.#ours ? cancelled(this.address) : explainEnd(this.#end(cause)));
      closed.resolve();
    });
    // Under Deno the peer's SETTINGS may be reported before the connection they came over.
    connection.once("connect", () => {
      if (this.#stage === "connecting") this.#stage = "greeting";
    });
    // TLS 1.3 lets a client connect before its certificate is judged; a server's SETTINGS come after.
    connection.once("remoteSettings", () => {
      if (this.#error) return;
      connection.setLocalWindowSize(windowSize);
      this.#onOpen(connection, socket);
      opened.resolve(connection);
    });
    return opened.promise;
  }

  #onOpen(connection: ClientHttp2Session, socket: Socket): void {
    const { pingIntervalMs = 200, pingTimeoutMs = 1000 } = this.#options;
    this.#stage = "open";
    this.localAddress = socketAddress(socket.localAddress, socket.localPort);
    this.remoteAddress = socketAddress(socket.remoteAddress, socket.remotePort);
    keepAlive(connection, {
      intervalMs: pingIntervalMs,
      timeoutMs: pingTimeoutMs,
      onRoundTrip: (ms) => this.rttMs = ms,
      onSilence: () => this.#down(fellSilent(this.address, pingTimeoutMs)),
    });
  }

  #end(cause: Error | undefined): Parameters<typeof explainEnd>[0] {
    return { address: this.address, keyed: !!this.#options.identity, stage: this.#stage, cause };
  }
}

function tlsOptions(identity: RingIdentity): ConnectionOptions {
  const { ca, cert, key } = identity;
  return {
    ca,
    cert,
    key,
    servername: RING_SERVER_NAME,
    minVersion: "TLSv1.3",
    ALPNProtocols: ["h2"],
  };
}

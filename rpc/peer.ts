/** The starter's side of the control plane: one secondary, from the first hello to its release. */
import { create, type Message } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { MdiError, type MdiErrorCode } from "../wasm/error.ts";
import { AsyncQueue } from "../engine/async_queue.ts";
import { type Address, formatAddress } from "./address.ts";
import { fromConnectError, isMdiErrorCode, lossReason } from "./error.ts";
import {
  type Configure,
  Control,
  type Device,
  type HelloResponse,
  type LinkFigures,
  type Profiled,
  type ProfileRequest,
  type Ready,
  type ServeRequest,
  ServeRequestSchema,
  type ServeResponse,
  type Spans,
  type Stats,
} from "./gen/mdi/v1/control_pb.ts";
import type { RingIdentity } from "./identity.ts";
import { openSession, type Session } from "./session.ts";
import { plainWord } from "./plain_text.ts";
import { checkIdentity, ownIdentity } from "./version.ts";

/** Limit on an answer that takes no work. */
const ANSWER_MS = 10_000;
/** How long a node that measures itself may tell nothing of it, and how long one may measure its links. */
const PROFILE_SILENCE_MS = 60_000;
const LINKS_MS = 60_000;
/** Limit on the answer to the announcement that the ring closes, which nobody needs to wait for. */
const RELEASE_MS = 500;
/**
 * Time between pings: a silent peer is lost after interval and time-out together. A shorter one would
 * give up boards that are merely busy, as with every core at loading.
 */
const PING_INTERVAL_MS = 250;
const PING_TIMEOUT_MS = 1500;

/** How a peer is dialled. */
export interface PeerOptions {
  identity: RingIdentity | undefined;
  /** The starter's name. */
  name: string;
  /** Capabilities that the ring is to use. */
  needed: readonly string[];
  signal?: AbortSignal | undefined;
}

type Case = Exclude<ServeResponse["message"]["case"], undefined>;
type Value<C extends Case> = Extract<ServeResponse["message"], { case: C }>["value"];
type Waiting = { case: Case; resolve(value: unknown): void; reject(error: Error): void };

/** A secondary that answered. */
export class Peer implements AsyncDisposable {
  /** What the user typed: how messages name it. */
  readonly name: string;
  /** What it was and had when it was dialled. */
  readonly device: Device;
  /** The release of mdi that it runs. */
  readonly version: string;
  /** Optional features that it has. */
  readonly capabilities: readonly string[];
  /** Random, and the node's own: two peers of one instance are one node. */
  readonly instance: string;
  /** Settles when the node is gone or has failed: with the reason. */
  readonly lost: Promise<MdiError>;
  /** Settles when the node itself is gone, and not where it only reports a failure: with the reason. */
  readonly gone: Promise<MdiError>;
  #lose: (error: MdiError) => void;
  #leave: (error: MdiError) => void;
  #session: Session;
  /** The starter's name. */
  #caller: string;
  #requests = new AsyncQueue<ServeRequest>();
  #waiting: Waiting | undefined;
  /** Settles when the last question so far has its answer. */
  #asked: Promise<void> = Promise.resolve();
  #claimed = false;
  #failure: MdiError | undefined;
  #ending = new AbortController();
  #onProgress: (what: string, done: number, total: number) => void = () => {};

  private constructor(session: Session, hello: HelloResponse, caller: string) {
    const lost = Promise.withResolvers<MdiError>();
    this.lost = lost.promise;
    this.#lose = lost.resolve;
    const gone = Promise.withResolvers<MdiError>();
    this.gone = gone.promise;
    this.#leave = gone.resolve;
    this.name = formatAddress(session.address);
    this.device = hello.device!;
    this.version = plainWord(hello.node?.version ?? "");
    this.capabilities = hello.node?.capabilities ?? [];
    this.instance = plainWord(hello.instance);
    this.#session = session;
    this.#caller = caller;
  }

  /**
   * Connects and agrees on the version.
   * @throws {MdiError} peer_unreachable, refused_token, refused_version, busy
   */
  static async connect(address: Address, options: PeerOptions): Promise<Peer> {
    const { identity, signal, needed } = options;
    const who = formatAddress(address);
    const state: { peer?: Peer } = {};
    const session = openSession(address, {
      identity,
      signal,
      pingIntervalMs: PING_INTERVAL_MS,
      pingTimeoutMs: PING_TIMEOUT_MS,
      onDown: (error) => state.peer?.fail(lostPeer(who, error)),
    });
    try {
      await session.ready();
      const control = createClient(Control, session.transport);
      const hello = await control.hello({ caller: ownIdentity(options.name) }, {
        timeoutMs: ANSWER_MS,
      });
      checkIdentity(who, hello.node, needed);
      if (!hello.device) {
        throw new MdiError("protocol", `Cannot use ${who}: it does not say what it is`);
      }
      if (hello.serving !== "") {
        throw new MdiError(
          "busy",
          `Cannot use ${who}: it serves the ring of "${
            plainWord(hello.serving)
          }"; stop that one first, or leave ${who} out`,
          { details: { peer: who, holder: plainWord(hello.serving) } },
        );
      }
      const peer = new Peer(session, hello, options.name);
      state.peer = peer;
      return peer;
    } catch (error) {
      session.abort();
      throw fromConnectError(error, who);
    }
  }

  /** Round trip to it in ms; NaN before it was measured. */
  get rttMs(): number {
    return this.#session.rttMs;
  }

  /** This side's address on the connection to it. */
  get localAddress(): Address {
    return this.#session.localAddress!;
  }

  /** The peer's address as it was resolved. */
  get remoteAddress(): Address {
    return this.#session.remoteAddress!;
  }

  /**
   * What it is and has now.
   * @throws {MdiError} what it fails with.
   */
  async describe(): Promise<Device> {
    const control = createClient(Control, this.#session.transport);
    try {
      const { device } = await control.hello({ caller: ownIdentity(this.#caller) }, {
        timeoutMs: ANSWER_MS,
      });
      return device ?? this.device;
    } catch (error) {
      throw fromConnectError(error, this.name);
    }
  }

  /**
   * What it takes to compute, as it measured.
   * @param stop ends the measurement.
   * @throws {MdiError} what it fails or refuses with; peer_lost where it falls silent; cancelled.
   */
  async profile(
    request: Omit<ProfileRequest, keyof Message>,
    onProgress: (what: string, done: number, total: number) => void,
    stop?: AbortSignal,
  ): Promise<Profiled> {
    const control = createClient(Control, this.#session.transport);
    const ending = new AbortController();
    const give = () =>
      ending.abort(
        new MdiError(
          "peer_lost",
          `${this.name} told nothing of its measurement for ${PROFILE_SILENCE_MS / 1000} s`,
        ),
      );
    let timer = setTimeout(give, PROFILE_SILENCE_MS);
    const signal = stop ? AbortSignal.any([stop, ending.signal]) : ending.signal;
    try {
      for await (const { message } of control.profile(request, { signal })) {
        clearTimeout(timer);
        timer = setTimeout(give, PROFILE_SILENCE_MS);
        if (message.case === "profiled") return message.value;
        if (message.case !== "progress") continue;
        const { what, done, total } = message.value;
        onProgress(plainWord(what), Number(done), Number(total));
      }
      throw new MdiError("protocol", `${this.name} ended its measurement without a result`);
    } catch (error) {
      throw fromConnectError(signal.aborted ? signal.reason : error, this.name);
    } finally {
      clearTimeout(timer);
      ending.abort();
    }
  }

  /**
   * The ways from it to other nodes, as it measured them.
   * @param addresses HOST:PORT each.
   * @throws {MdiError} what it fails or refuses with.
   */
  async measureLinks(
    starter: string,
    addresses: string[],
    signal: AbortSignal,
  ): Promise<LinkFigures[]> {
    const control = createClient(Control, this.#session.transport);
    try {
      const { links } = await control.measureLinks({ starter, addresses }, {
        timeoutMs: LINKS_MS,
        signal,
      });
      return links;
    } catch (error) {
      throw fromConnectError(error, this.name);
    }
  }

  /** Makes it a member of this ring. */
  async claim(starter: string): Promise<void> {
    this.#claimed = true;
    const control = createClient(Control, this.#session.transport);
    const answers = control.serve(this.#requests, { signal: this.#ending.signal });
    this.#listen(answers);
    await this.#ask(
      "welcome",
      { case: "claim", value: { $typeName: "mdi.v1.Claim", starter } },
      ANSWER_MS,
    );
  }

  /** Tells it what to load and waits until it has. */
  async configure(
    config: Configure,
    onProgress: (what: string, done: number, total: number) => void,
  ): Promise<Ready> {
    this.#onProgress = onProgress;
    return await this.#ask("ready", { case: "configure", value: config });
  }

  /** Tells it to open its link. */
  async open(): Promise<void> {
    await this.#ask("linked", { case: "open", value: { $typeName: "mdi.v1.Open" } }, ANSWER_MS);
  }

  /** Its totals. */
  async stats(): Promise<Stats> {
    return await this.#ask(
      "stats",
      { case: "stats", value: { $typeName: "mdi.v1.StatsRequest" } },
      ANSWER_MS,
    );
  }

  /** What its clock says: that of its spans, in ms. */
  async clock(): Promise<number> {
    const { nowMs } = await this.#ask(
      "clock",
      { case: "clock", value: { $typeName: "mdi.v1.ClockRequest" } },
      ANSWER_MS,
    );
    return nowMs;
  }

  /** Spans that it recorded, from that number on, as many as a message holds. */
  async spans(from: number): Promise<Spans> {
    return await this.#ask(
      "spans",
      { case: "spans", value: { $typeName: "mdi.v1.SpansRequest", from: BigInt(from) } },
      ANSWER_MS,
    );
  }

  /**
   * Tells it that the ring is about to close, so that it takes the end of its links for no failure. Does
   * not wait for a node that is busy with something else, nor long for one that is silent.
   */
  async release(): Promise<void> {
    if (!this.#claimed || this.#failure || this.#waiting) return;
    const answer = this.#ask("released", {
      case: "release",
      value: { $typeName: "mdi.v1.Release" },
    }, RELEASE_MS);
    await answer.catch(() => {}); // it is gone then, which ends its stay as well
  }

  /** Gives it up for lost. */
  fail(error: MdiError): void {
    if (!this.#failure) this.#leave(error);
    this.#fail(error);
  }

  #fail(error: MdiError): void {
    if (this.#failure) return;
    this.#failure = error;
    this.#waiting?.reject(error);
    this.#waiting = undefined;
    this.#lose(error);
  }

  async #listen(answers: AsyncIterable<ServeResponse>): Promise<void> {
    try {
      for await (const { message } of answers) {
        if (message.case === "progress") {
          const { what, done, total } = message.value;
          this.#onProgress(plainWord(what), Number(done), Number(total));
        } else if (message.case === "failure") {
          const { code, message: text } = message.value;
          const known: MdiErrorCode = isMdiErrorCode(code) ? code : "peer_lost";
          this.#fail(
            new MdiError(known, `${this.name}: ${text.slice(0, 1000)}`, {
              details: { peer: this.name },
            }),
          );
        } else if (message.case !== undefined && this.#waiting?.case === message.case) {
          const { resolve } = this.#waiting;
          this.#waiting = undefined;
          resolve(message.value);
        } else {
          throw new MdiError("protocol", `${this.name} sent "${message.case}" unasked`);
        }
      }
      this.fail(lostPeer(this.name));
    } catch (error) {
      const mdi = fromConnectError(error, this.name);
      this.fail(
        mdi.code === "peer_unreachable" || mdi.code === "internal" ? lostPeer(this.name, mdi) : mdi,
      );
    }
  }

  /** Asks when every question before has its answer: answers name their kind and not their question. */
  async #ask<C extends Case>(
    answer: C,
    message: ServeRequest["message"],
    timeoutMs?: number,
  ): Promise<Value<C>> {
    const before = this.#asked;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#asked = promise;
    await before;
    try {
      return await this.#exchange(answer, message, timeoutMs);
    } finally {
      resolve();
    }
  }

  async #exchange<C extends Case>(
    answer: C,
    message: ServeRequest["message"],
    timeoutMs: number | undefined,
  ): Promise<Value<C>> {
    if (this.#failure) throw this.#failure;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting = { case: answer, resolve, reject };
    this.#requests.push(create(ServeRequestSchema, { message }));
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => {
      this.fail(
        new MdiError("peer_lost", `${this.name} gave no answer within ${timeoutMs / 1000} s`),
      );
    }, timeoutMs);
    try {
      return await promise as Value<C>;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Lets the node go: it frees everything and waits for the next starter. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#failure ??= new MdiError("cancelled", "The ring was closed");
    this.#requests.end();
    await this.#session.close({ graceMs: 500 });
    this.#ending.abort();
  }
}

function lostPeer(who: string, cause?: MdiError): MdiError {
  const message = cause?.code === "peer_lost" ? cause.message : `Lost ${who}: ${lossReason(cause)}`;
  return new MdiError("peer_lost", message, { cause, details: { peer: who } });
}

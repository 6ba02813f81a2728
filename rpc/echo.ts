/**
 * What a link is between two nodes: its round trip and its bandwidth, measured over the very kind of
 * connection that frames take. One stream of Echo messages: small ones, each waiting for its answer, tell the
 * round trip; large ones, a few at a time under way, tell the bandwidth. What both take of this node's processors
 * tells what frames will.
 */
import { cpuUsage } from "node:process";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { MdiError } from "../wasm/error.ts";
import { AsyncQueue } from "../engine/async_queue.ts";
import type { PlanLink } from "../engine/plan/problem.ts";
import { type Address, formatAddress } from "./address.ts";
import { fromConnectError } from "./error.ts";
import {
  Control,
  type EchoRequest,
  EchoRequestSchema,
  type EchoResponse,
  EchoResponseSchema,
} from "./gen/mdi/v1/control_pb.ts";
import type { RingIdentity } from "./identity.ts";
import { openSession } from "./session.ts";

/** Echoes that tell the round trip, after two that open everything; the slowest few do not count. */
const ECHOES = 30;
const OUTLIERS = 2;
/** Pause before each, as there is between frames: threads that sleep have to be woken. */
const PAUSE_MS = 2;
/** Bytes of each, about a decode frame of a few rows; the answer has as many. */
const SMALL_BYTES = 8 * 1024;
/** A large message; at 1 Mbit/s it takes a quarter of a second. */
const LARGE_BYTES = 32 * 1024;
/** How long large ones are sent, in ms, and how many bytes of them at most. */
const FILL_MS = 150;
const FILL_BYTES = 16 * 2 ** 20;
/** Large messages under way at most: what the flow-control window takes. */
const UNDER_WAY = 32;
/** Limit on everything, in ms: a link that takes longer is of no use to a ring. */
const LIMIT_MS = 6000;

/** What one stream of echoes may ask of a node: messages, and bytes of answers each. */
const MAX_MESSAGES = 4096;
const MAX_ANSWER_BYTES = 2 ** 20;

/** A link, and what a message on it takes. */
export interface MeasuredLink extends PlanLink {
  /** Milliseconds of this node's processors for a message that it sends and one that it receives. */
  messageCpuMs: number;
}

/** Messages that this process has sent or answered, each with another that came. */
let exchanged = 0;

/** How a link is measured. */
export interface MeasureLinkOptions {
  identity: RingIdentity | undefined;
  signal: AbortSignal;
}

/**
 * Measures the way to a node, in about 0.3 s.
 * @throws {MdiError} peer_unreachable, refused_token, busy, protocol, cancelled
 */
export async function measureLink(
  address: Address,
  { identity, signal }: MeasureLinkOptions,
): Promise<MeasuredLink> {
  const ending = new AbortController();
  const limit = AbortSignal.any([signal, ending.signal, AbortSignal.timeout(LIMIT_MS)]);
  const session = openSession(address, { identity, signal: limit });
  const requests = new AsyncQueue<EchoRequest>();
  try {
    await session.ready();
    const control = createClient(Control, session.transport);
    const answers = control.echo(requests, { signal: limit })[Symbol.asyncIterator]();
    const echoes = new Echoes(requests, answers);
    const small = await echoes.roundTrip();
    return { ...small, mbit: await echoes.bandwidth() };
  } catch (error) {
    signal.throwIfAborted();
    throw fromConnectError(error, formatAddress(address));
  } finally {
    requests.end();
    ending.abort();
    await session[Symbol.asyncDispose]();
  }
}

/** One stream of echoes. */
class Echoes {
  #requests: AsyncQueue<EchoRequest>;
  #answers: AsyncIterator<EchoResponse>;

  constructor(requests: AsyncQueue<EchoRequest>, answers: AsyncIterator<EchoResponse>) {
    this.#requests = requests;
    this.#answers = answers;
  }

  /**
   * Mean over small echoes, in ms: what frames wait for in the long run. Processors are looked at in the second half,
   * when code is compiled; nodes that measure this one meanwhile have their echoes counted.
   */
  async roundTrip(): Promise<Omit<MeasuredLink, "mbit">> {
    const times: number[] = [];
    let usage = cpuUsage();
    let before = exchanged;
    for (let i = -2; i < ECHOES; i++) {
      if (i === ECHOES / 2) {
        usage = cpuUsage();
        before = exchanged;
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      const start = performance.now();
      this.#send(SMALL_BYTES, SMALL_BYTES);
      await this.#take(SMALL_BYTES);
      if (i >= 0) times.push(performance.now() - start);
    }
    const { user, system } = cpuUsage(usage);
    const counted = times.sort((a, b) => a - b).slice(0, ECHOES - OUTLIERS);
    return {
      rttMs: counted.reduce((sum, ms) => sum + ms, 0) / counted.length,
      messageCpuMs: (user + system) / 1000 / (exchanged - before),
    };
  }

  /**
   * Mbit/s between the first and the last answer to large messages, so that the round trip is not in it. As
   * answers come, more messages are under way: a slow link is never filled for seconds.
   */
  async bandwidth(): Promise<number> {
    const start = performance.now();
    let sent = 0;
    let first = 0;
    let answered = 0;
    for (let underWay = 2; answered < sent || answered === 0;) {
      const more = answered < 2 ||
        performance.now() - start < FILL_MS && sent * LARGE_BYTES < FILL_BYTES;
      while (more && sent - answered < underWay) {
        this.#send(LARGE_BYTES, 0);
        sent++;
      }
      await this.#take(0);
      answered++;
      if (answered === 1) first = performance.now();
      underWay = Math.min(UNDER_WAY, underWay + 1);
    }
    const ms = Math.max(0.01, performance.now() - first);
    return 8 * LARGE_BYTES * (answered - 1) / ms / 1000;
  }

  #send(bytes: number, answerBytes: number): void {
    this.#requests.push(create(EchoRequestSchema, { data: new Uint8Array(bytes), answerBytes }));
  }

  async #take(bytes: number): Promise<void> {
    const { done, value } = await this.#answers.next();
    if (done) throw new MdiError("peer_lost", "The node ended the measurement");
    if (value.data.length !== bytes) {
      throw new MdiError("protocol", `It answered with ${value.data.length} bytes, not ${bytes}`);
    }
    exchanged++;
  }
}

/**
 * The node's side: answers each message with the bytes that it asks for.
 * @throws {MdiError} protocol where somebody asks for more than a measurement does.
 */
export async function* answerEchoes(
  requests: AsyncIterable<EchoRequest>,
): AsyncGenerator<EchoResponse> {
  let messages = 0;
  for await (const { answerBytes } of requests) {
    if (++messages > MAX_MESSAGES || answerBytes > MAX_ANSWER_BYTES) {
      throw new MdiError(
        "protocol",
        `Cannot echo ${answerBytes} bytes as answer ${messages}: that is no measurement of a link`,
      );
    }
    exchanged++;
    yield create(EchoResponseSchema, { data: new Uint8Array(answerBytes) });
  }
}

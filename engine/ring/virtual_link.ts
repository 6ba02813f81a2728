/**
 * A modelled link between neighbours: one TCP connection that carries messages in order, under the
 * virtual clock.
 *
 * - *Bandwidth*: a message occupies the link for its bytes; the next one waits for it.
 * - *Latency*: half a round trip, and jitter, which never changes the order.
 * - *Loss*: each segment of a message is lost with a probability. As TCP delivers in order, the message
 *   and those behind it wait for the retransmission. A later segment that arrives tells the sender of
 *   the loss: it waits a quarter of a round trip to be sure (RACK, RFC 8985), and a whole one passes in being
 *   told and in sending again. Where nothing follows, the sender's timer runs out: a round trip and
 *   Linux's smallest retransmission time-out. A retransmission is not lost again.
 * - *Credits*: as in rpc/credits.ts, the sender spends one a message, and the receiver gives them back
 *   when it has taken half of the window.
 */
import type { VirtualClock } from "./virtual_clock.ts";

/** Bytes of a TCP segment on Ethernet: 1500 less the headers of IP and of TCP with time stamps. */
const SEGMENT_BYTES = 1448;
/** Linux's smallest retransmission time-out beyond the round trip, in ms (TCP_RTO_MIN). */
const MIN_TIMEOUT_MS = 200;

/** How a link behaves. */
export interface VirtualLinkOptions<Message> {
  rttMs: number;
  /** Bandwidth in Mbit/s; Infinity for none to speak of. */
  mbit: number;
  /** A message's latency varies evenly by so many ms to both sides, never below zero. */
  jitterMs: number;
  /** Probability that a segment is lost. */
  loss: number;
  /**
   * How long each loss holds the connection up, in ms.
   *
   * @default {as long as TCP takes to notice it and to send again}
   */
  stallMs?: number | undefined;
  /** Numbers of [0, 1); asked only where there is jitter or loss. */
  random: () => number;
  /** Messages that the receiver lets come before it takes one. */
  credits: number;
  /** Gives a message to the receiver. */
  deliver: (message: Message) => void;
  /** Told of every message: when its first byte was on the link, and when its last had arrived. */
  observe?: (message: Message, sent: number, arrived: number) => void;
}

/** A message on its way. */
interface Flight<Message> {
  message: Message;
  sent: number;
  /** Whether a segment of it is lost. */
  lost: boolean;
  /** Whether later segments of the same message tell of the loss. */
  followed: boolean;
  /** When all of it is there. */
  wholeAt: number;
}

/** A message that waits for a credit. */
interface Waiting<Message> {
  message: Message;
  bytes: number;
  onWay: () => void;
}

/** One direction of a link. */
export class VirtualLink<Message> {
  /** Milliseconds for which bytes occupy the link, those of messages that wait for it included. */
  busyMs = 0;
  readonly #clock: VirtualClock;
  readonly #options: VirtualLinkOptions<Message>;
  readonly #waiting: Waiting<Message>[] = [];
  #credits: number;
  #taken = 0;
  /** When the last byte so far has left. */
  #freeAt = 0;
  /** When the last message so far arrives. */
  #lastAt = 0;
  /** Messages that have arrived in part or behind such a one, in order; empty while nothing is lost. */
  readonly #held: Flight<Message>[] = [];
  #cancelTimer: (() => void) | undefined;

  /** Makes a link with nothing on it. */
  constructor(clock: VirtualClock, options: VirtualLinkOptions<Message>) {
    this.#clock = clock;
    this.#options = options;
    this.#credits = options.credits;
  }

  /** Sends a message as soon as there is a credit; `onWay` is called when it is on its way. */
  send(message: Message, bytes: number, onWay: () => void): void {
    if (this.#credits === 0) {
      this.#waiting.push({ message, bytes, onWay });
      return;
    }
    this.#credits--;
    this.#transmit(message, bytes);
    onWay();
  }

  /** The receiver took a message. */
  take(): void {
    this.#taken++;
    if (this.#taken < this.#options.credits / 2) return;
    const credits = this.#taken;
    this.#taken = 0;
    this.#clock.after(this.#options.rttMs / 2, () => {
      this.#credits += credits;
      while (this.#credits > 0 && this.#waiting.length > 0) {
        const { message, bytes, onWay } = this.#waiting.shift()!;
        this.#credits--;
        this.#transmit(message, bytes);
        onWay();
      }
    });
  }

  #transmit(message: Message, bytes: number): void {
    const { rttMs, mbit, jitterMs, random } = this.#options;
    const sent = Math.max(this.#clock.now(), this.#freeAt);
    const ms = bytes * 8 / (mbit * 1000);
    this.busyMs += ms;
    this.#freeAt = sent + ms;
    const jitter = jitterMs > 0 ? (2 * random() - 1) * jitterMs : 0;
    this.#lastAt = Math.max(this.#lastAt, this.#freeAt + Math.max(0, rttMs / 2 + jitter));
    const flight = { message, sent, wholeAt: this.#lastAt, ...this.#losses(bytes) };
    this.#clock.after(this.#lastAt - this.#clock.now(), () => this.#arrive(flight));
  }

  /** Draws whether a segment of a message is lost, and whether one after the first of these is not. */
  #losses(bytes: number): { lost: boolean; followed: boolean } {
    const { loss, random } = this.#options;
    let lost = false;
    if (loss > 0) {
      for (let left = bytes; left > 0; left -= SEGMENT_BYTES) {
        if (random() < loss) lost = true;
        else if (lost) return { lost, followed: true };
      }
    }
    return { lost, followed: false };
  }

  #arrive(flight: Flight<Message>): void {
    const { rttMs, stallMs } = this.#options;
    if (this.#held.length === 0 && !flight.lost) return this.#deliver(flight);
    const tells = stallMs === undefined && (!flight.lost || flight.followed);
    this.#held.push(flight);
    if (flight.lost) flight.wholeAt += stallMs ?? rttMs + MIN_TIMEOUT_MS;
    if (tells) {
      const latest = this.#clock.now() + 1.25 * rttMs;
      for (const each of this.#held) each.wholeAt = Math.min(each.wholeAt, latest);
    }
    this.#wait();
  }

  /** Waits until the first held message is whole, then delivers all that are. */
  #wait(): void {
    this.#cancelTimer?.();
    const now = this.#clock.now();
    while (this.#held.length > 0 && this.#held[0]!.wholeAt <= now) {
      this.#deliver(this.#held.shift()!);
    }
    const first = this.#held[0];
    this.#cancelTimer = first && this.#clock.after(first.wholeAt - now, () => this.#wait());
  }

  #deliver({ message, sent }: Flight<Message>): void {
    this.#options.observe?.(message, sent, this.#clock.now());
    this.#options.deliver(message);
  }
}

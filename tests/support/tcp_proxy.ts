/**
 * A network between two processes of one machine: a TCP proxy that delays, throttles and stalls what passes,
 * as in a link of that round trip, bandwidth and loss. Bytes keep their order; what waits is bounded, and
 * beyond that the sender waits.
 */
import type { PlanLink } from "../../engine/plan/problem.ts";
import { randomStream } from "../../engine/text/random.ts";

/** How a link is. A TCP connection shows a lost packet as a stall: what follows waits for it to be sent again. */
export interface ProxiedLink extends PlanLink {
  /** Share of the packets that are lost, 0 to 1. */
  loss?: number;
  /** How long each loss stalls the connection, in ms. */
  stallMs?: number;
  /** Of the losses. @default {1} */
  seed?: number;
}

/** Payload of a packet on Ethernet. */
const PACKET_BYTES = 1448;
/** Bytes under way in one direction; more make the sender wait. */
const BUFFERED_BYTES = 2 ** 20;
/** What a read may bring. */
const READ_BYTES = 2 ** 16;
/** Timers are this much too late; the rest is waited for in turns of the event loop. */
const TIMER_MS = 1.5;

/** A proxy in front of an address. */
export class TcpProxy implements AsyncDisposable {
  /** HOST:PORT that it listens at. */
  readonly address: string;
  readonly #listener: Deno.TcpListener;
  readonly #target: Deno.ConnectOptions;
  readonly #link: ProxiedLink;
  readonly #random: () => number;
  readonly #connections = new Set<Deno.TcpConn>();
  readonly #work = new Set<Promise<void>>();
  #closed = false;

  private constructor(target: string, link: ProxiedLink) {
    const { hostname, port } = new URL(`tcp://${target}`);
    this.#target = { hostname, port: Number(port) };
    this.#link = link;
    const random = randomStream(BigInt(link.seed ?? 1), 0);
    this.#random = () => random.nextFloat();
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.address = `127.0.0.1:${this.#listener.addr.port}`;
    this.#own(this.#accept());
  }

  /** Listens on a free port of 127.0.0.1 for connections to `target`, HOST:PORT. */
  static listen(target: string, link: ProxiedLink): TcpProxy {
    return new TcpProxy(target, link);
  }

  #own(work: Promise<void>): void {
    const ended = work.catch(() => {}).finally(() => this.#work.delete(ended));
    this.#work.add(ended);
  }

  async #accept(): Promise<void> {
    for await (const near of this.#listener) this.#own(this.#serve(near));
  }

  async #serve(near: Deno.TcpConn): Promise<void> {
    this.#connections.add(near);
    let far: Deno.TcpConn | undefined;
    try {
      far = await Deno.connect(this.#target);
      this.#connections.add(far);
      for (const end of [near, far]) end.setNoDelay(true);
      await Promise.all([this.#pass(near, far), this.#pass(far, near)]);
    } catch {
      // One end broke off: so does the other.
    } finally {
      for (const end of [near, far]) if (end) this.#close(end);
    }
  }

  /** One direction, until its sender ends it. */
  async #pass(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
    const wire = new Wire(this.#link, this.#random);
    const queue: { due: number; bytes: Uint8Array }[] = [];
    let waiting = 0;
    let ended = false;
    let wake = Promise.withResolvers<void>();
    const turn = () => {
      wake.resolve();
      wake = Promise.withResolvers();
    };
    const reading = (async () => {
      try {
        const buffer = new Uint8Array(READ_BYTES);
        while (true) {
          while (waiting >= BUFFERED_BYTES) await wake.promise;
          const count = await from.read(buffer);
          if (count === null) break;
          queue.push({ due: wire.take(count, performance.now()), bytes: buffer.slice(0, count) });
          waiting += count;
          turn();
        }
      } finally {
        ended = true;
        turn();
      }
    })();
    const writing = (async () => {
      while (true) {
        const next = queue.shift();
        if (!next) {
          if (ended) break;
          await wake.promise;
          continue;
        }
        await until(next.due);
        if (this.#closed) break;
        for (let at = 0; at < next.bytes.length;) at += await to.write(next.bytes.subarray(at));
        waiting -= next.bytes.length;
        turn();
      }
      await to.closeWrite();
    })();
    try {
      await Promise.all([reading, writing]);
    } catch (error) {
      // The other half waits for a socket that has nothing to say any more.
      this.#close(from);
      this.#close(to);
      await Promise.allSettled([reading, writing]);
      throw error;
    }
  }

  #close(connection: Deno.TcpConn): void {
    if (!this.#connections.delete(connection)) return;
    connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#listener.close();
    for (const connection of [...this.#connections]) this.#close(connection);
    await Promise.all(this.#work);
  }
}

/** When bytes that are put on a wire are at its other end. */
export class Wire {
  readonly #link: ProxiedLink;
  readonly #random: () => number;
  /** When the last of them has been sent. */
  #free = -Infinity;
  /** When the last of them arrives: nothing overtakes it. */
  #arrived = -Infinity;

  /** @param random from 0 to below 1, one for each packet. */
  constructor(link: ProxiedLink, random: () => number) {
    this.#link = link;
    this.#random = random;
  }

  /** Takes bytes in at a moment. @returns when they have arrived, in ms. */
  take(bytes: number, now: number): number {
    const { rttMs, mbit, loss = 0, stallMs = 0 } = this.#link;
    this.#free = Math.max(this.#free, now) + bytes * 8 / (mbit * 1000);
    let due = this.#free + rttMs / 2;
    let lost = false;
    for (let left = bytes; left > 0; left -= PACKET_BYTES) lost = this.#random() < loss || lost;
    if (lost) due += stallMs;
    this.#arrived = Math.max(this.#arrived, due);
    return this.#arrived;
  }
}

async function until(due: number): Promise<void> {
  const ms = due - performance.now();
  if (ms > TIMER_MS) await new Promise((resolve) => setTimeout(resolve, ms - TIMER_MS));
  while (performance.now() < due) await new Promise((resolve) => setImmediate(resolve));
}

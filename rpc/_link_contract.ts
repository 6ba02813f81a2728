/** What every implementation of a link must do. Each runs these tests with its own way to open one. */
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import type { FrameMessage, RingMessage } from "../engine/ring/message.ts";
import { MdiError, type MdiErrorCode } from "../wasm/error.ts";
import { createFrameCodec, type FrameCodec, type FrameCodecOptions } from "./frame.ts";
import type { LinkAcceptor, LinkReceiver, LinkSender } from "./link.ts";
import type { OutgoingLinkOptions } from "./outgoing.ts";

/** Opens links of one kind. */
export interface LinkKind extends AsyncDisposable {
  /** Opens a link to `accept`. */
  open(
    accept: LinkAcceptor,
    options: Omit<OutgoingLinkOptions, "closeTimeoutMs">,
  ): Promise<LinkSender>;
}

/** Shape of the small frames of these tests. */
export const SMALL: FrameCodecOptions = {
  dModel: 16,
  dtype: "f32",
  edge: "stage",
  maxRows: 32,
  context: 20_000,
};
const EPOCH = 7;

/** Registers the tests. */
export function testLink(kind: string, start: () => Promise<LinkKind>): void {
  for (const [name, run] of Object.entries(CASES)) {
    Deno.test(`${kind} ${name}`, async () => {
      await using links = await start();
      await run(links);
    });
  }
}

/** A frame of one row of one sample. */
export function row(position: number, values: Partial<FrameMessage> = {}): FrameMessage {
  return {
    kind: "frame",
    epoch: EPOCH,
    segments: [{ sample: 1, position, rows: 1, wanted: 1 }],
    hidden: new Float32Array(SMALL.dModel).fill(position),
    ...values,
  };
}

const CASES: Record<string, (links: LinkKind) => Promise<void>> = {
  async "carries 10,000 messages in order"(links) {
    const { sender, receiver } = await pair(links, { credits: 8 });
    const sending = (async () => {
      for (let i = 0; i < 10_000; i++) await sender.send(i % 100 === 99 ? cache(i) : row(i));
      await sender[Symbol.asyncDispose]();
    })();
    let count = 0;
    for await (const message of receiver) {
      if (message.kind === "frame") assertEquals(message.segments[0]!.position, count);
      else assertEquals(message, cache(count));
      count++;
    }
    await sending;
    assertEquals(count, 10_000);
    assertEquals(await sender.down, null);
    assert(sender.bytesSent > 9_900 * (4 * SMALL.dModel));
    assert(sender.encodeMs > 0);
  },

  async "keeps the order of sends that were not awaited"(links) {
    const { sender, receiver } = await pair(links, { credits: 3 });
    const sends = Array.from({ length: 50 }, (_, i) => sender.send(row(i)));
    const positions = await take(receiver, 50);
    await Promise.all(sends);
    assertEquals(positions, sends.map((_, i) => i));
    await sender[Symbol.asyncDispose]();
  },

  async "halts the sender when the receiver is slow"(links) {
    const { sender, receiver } = await pair(links, { credits: 4 });
    for (let i = 0; i < 4; i++) await sender.send(row(i));
    let sent = false;
    const fifth = sender.send(row(4)).then(() => sent = true);
    await pause(60);
    assert(!sent, "the fifth message went without a credit");
    assertEquals(await take(receiver, 5), [0, 1, 2, 3, 4]);
    await fifth;
    assert(sender.creditWaitMs >= 40, `waited ${sender.creditWaitMs} ms`);
    await sender[Symbol.asyncDispose]();
  },

  async "carries a prefill chunk of 32 rows of 4,096 values"(links) {
    const shape = { ...SMALL, dModel: 4096 };
    const { sender, receiver } = await pair(links, { credits: 2, shape });
    const hidden = new Float32Array(32 * 4096).map((_, i) => Math.sin(i));
    const segments = [{ sample: 3, position: 0, rows: 32, wanted: 1 }];
    const sending = (async () => {
      for (let i = 0; i < 8; i++) await sender.send(row(0, { segments, hidden }));
    })();
    const received = receiver[Symbol.asyncIterator]();
    for (let i = 0; i < 8; i++) {
      const message = (await received.next()).value as FrameMessage;
      assertEquals(message.segments, segments);
      assert(message.hidden.every((value, j) => value === hidden[j]));
    }
    await sending;
    await sender[Symbol.asyncDispose]();
  },

  async "rounds to f16 where the wire does"(links) {
    const { sender, receiver } = await pair(links, { shape: { ...SMALL, dtype: "f16" } });
    const hidden = new Float32Array(SMALL.dModel).fill(0.1);
    hidden[1] = 1e6;
    await sender.send(row(0, { hidden }));
    const { hidden: got } = await first(receiver) as FrameMessage;
    assertEquals(got[0], Math.f16round(0.1));
    assertEquals(got[1], 65504);
    await sender[Symbol.asyncDispose]();
  },

  async "delivers what was sent before the sender closed"(links) {
    const { sender, receiver } = await pair(links, { credits: 4 });
    for (let i = 0; i < 3; i++) await sender.send(row(i));
    const closing = sender[Symbol.asyncDispose]();
    const positions: number[] = [];
    for await (const message of receiver) {
      positions.push((message as FrameMessage).segments[0]!.position);
    }
    await closing;
    assertEquals(positions, [0, 1, 2]);
    assertEquals(await sender.down, null);
    await rejects(sender.send(row(3)), "cancelled");
  },

  async "ends when the receiver leaves"(links) {
    const { sender, receiver } = await pair(links, { credits: 4 });
    for (let i = 0; i < 4; i++) await sender.send(row(i));
    const waiting = rejects(sender.send(row(4)), "peer_lost");
    await pause(10);
    for await (const _ of receiver) break;
    assertEquals((await sender.down)?.code, "peer_lost");
    await waiting;
    await sender[Symbol.asyncDispose]();
  },

  async "ends when the receiver throws, and only this link"(links) {
    const { sender, receiver } = await pair(links);
    const other = await pair(links);
    await sender.send(row(0));
    await assertRejects(
      async () => {
        for await (const _ of receiver) throw new TypeError("The stage failed");
      },
      TypeError,
    );
    assertEquals((await sender.down)?.code, "peer_lost");
    await other.sender.send(row(5));
    assertEquals(await take(other.receiver, 1), [5]);
    await other.sender[Symbol.asyncDispose]();
    await sender[Symbol.asyncDispose]();
  },

  async "tells the sender why the receiver closed"(links) {
    const { sender, receiver } = await pair(links);
    receiver.close(new MdiError("memory", "Cannot hold\u001b[31m the \u202esample"));
    const reason = await sender.down;
    assertEquals(reason?.code, "memory");
    await rejects(sender.send(row(0)), "memory");
    await rejects(receiver[Symbol.asyncIterator]().next(), "memory");
    await sender[Symbol.asyncDispose]();
  },

  async "ends at once when the sender's signal is aborted"(links) {
    const ending = new AbortController();
    const { sender, receiver } = await pair(links, { credits: 1, signal: ending.signal });
    await sender.send(row(0));
    const waiting = rejects(sender.send(row(1)), "cancelled");
    ending.abort();
    await waiting;
    assertEquals((await sender.down)?.code, "cancelled");
    await rejects(drain(receiver), "peer_lost");
    await sender[Symbol.asyncDispose]();
  },

  async "does not open under an aborted signal"(links) {
    const options = { ...introduce(createFrameCodec(SMALL)), signal: AbortSignal.abort() };
    await rejects(links.open(() => never(), options), "cancelled");
  },

  async "sends nothing when a send is cancelled while it waits"(links) {
    const { sender, receiver } = await pair(links, { credits: 1 });
    await sender.send(row(0));
    const ending = new AbortController();
    const cancelled = rejects(sender.send(row(1), { signal: ending.signal }), "cancelled");
    const next = sender.send(row(2));
    ending.abort();
    await cancelled;
    await rejects(sender.send(row(1), { signal: ending.signal }), "cancelled");
    assertEquals(await take(receiver, 2), [0, 2]);
    await next;
    await sender[Symbol.asyncDispose]();
  },

  async "refuses to send what is malformed, and goes on"(links) {
    const { sender, receiver } = await pair(links, { credits: 1 });
    await assertRejects(() => sender.send(row(0, { hidden: new Float32Array(3) })), RangeError);
    await sender.send(row(1));
    assertEquals(await take(receiver, 1), [1]);
    await sender[Symbol.asyncDispose]();
  },

  async "ends at both ends when a message is not allowed"(links) {
    const generous = createFrameCodec({ ...SMALL, context: 1 << 20 });
    const { sender, receiver } = await pair(links, { senderCodec: generous });
    await sender.send(row(0));
    await sender.send(row(SMALL.context));
    await rejects(drain(receiver), "protocol");
    const reason = await sender.down;
    assertEquals(reason?.code, "protocol");
    assert(reason!.message.includes("position"), reason!.message);
    await sender[Symbol.asyncDispose]();
  },

  async "drops messages of another epoch and gives their credits back"(links) {
    const { sender, receiver } = await pair(links, { credits: 2 });
    const received = take(receiver, 1);
    for (let i = 0; i < 20; i++) await sender.send(row(i, { epoch: EPOCH - 1 }));
    await sender.send({ ...cache(0), epoch: EPOCH + 1 });
    await sender.send(row(20));
    assertEquals(await received, [20]);
    assertEquals(receiver.dropped, 21);
    await sender[Symbol.asyncDispose]();
  },

  async "is refused with the acceptor's reason"(links) {
    const refuse: LinkAcceptor = ({ epoch, from }) => {
      throw new MdiError("busy", `Cannot take a link of epoch ${epoch} from ${from}`);
    };
    const error = await rejects(links.open(refuse, introduce(createFrameCodec(SMALL))), "busy");
    assert(error.message.includes(`epoch ${EPOCH} from 2`), error.message);
    const { sender, receiver } = await pair(links);
    await sender.send(row(9));
    assertEquals(await take(receiver, 1), [9]);
    await sender[Symbol.asyncDispose]();
  },

  async "may be disposed twice and while nobody reads"(links) {
    const { sender, receiver } = await pair(links);
    await sender.send(row(0));
    const closing = [sender[Symbol.asyncDispose](), sender[Symbol.asyncDispose]()];
    await receiver[Symbol.asyncDispose]();
    await receiver[Symbol.asyncDispose]();
    await Promise.all(closing);
    assertStrictEquals(sender.down, sender.down);
  },
};

interface PairOptions {
  credits?: number;
  shape?: FrameCodecOptions;
  senderCodec?: FrameCodec;
  signal?: AbortSignal;
}

/** Both ends of a link. */
async function pair(
  links: LinkKind,
  { credits = 4, shape = SMALL, senderCodec, signal }: PairOptions = {},
): Promise<{ sender: LinkSender; receiver: LinkReceiver }> {
  const taken = Promise.withResolvers<LinkReceiver>();
  const codec = createFrameCodec(shape);
  const sender = await links.open(
    (hello) => {
      assertEquals(hello, { epoch: EPOCH, from: 2 });
      return { codec, credits, receive: taken.resolve };
    },
    { ...introduce(senderCodec ?? codec), signal },
  );
  const receiver = await taken.promise;
  assertEquals(receiver.hello, { epoch: EPOCH, from: 2 });
  return { sender, receiver };
}

function introduce(codec: FrameCodec): { codec: FrameCodec; epoch: number; from: number } {
  return { codec, epoch: EPOCH, from: 2 };
}

function cache(length: number): RingMessage {
  return { kind: "cache", epoch: EPOCH, sample: 5, length, capacity: SMALL.context };
}

/** Positions of the next frames. */
async function take(receiver: LinkReceiver, count: number): Promise<number[]> {
  const iterator = receiver[Symbol.asyncIterator]();
  const positions: number[] = [];
  for (let i = 0; i < count; i++) {
    const { value } = await iterator.next();
    positions.push((value as FrameMessage).segments[0]!.position);
  }
  return positions;
}

async function first(receiver: LinkReceiver): Promise<RingMessage> {
  return (await receiver[Symbol.asyncIterator]().next()).value;
}

async function drain(receiver: LinkReceiver): Promise<void> {
  for await (const _ of receiver) { /* only its end matters */ }
}

async function rejects(promise: Promise<unknown>, code: MdiErrorCode): Promise<MdiError> {
  const error = await assertRejects(() => promise, MdiError);
  assertEquals(error.code, code, error.message);
  return error;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function never(): never {
  throw new Error("Accepted what must not arrive");
}

/** A link's receiving end, whatever carries its bytes: the hello, then messages within their credits. */
import { fromBinary } from "@bufbuild/protobuf";
import type { RingMessage } from "../engine/ring/message.ts";
import { MdiError, messageOf } from "../wasm/error.ts";
import { CreditedQueue } from "./credits.ts";
import { type LinkRequest, LinkRequestSchema } from "./gen/mdi/v1/ring_pb.ts";
import type { LinkAcceptor, LinkHello, LinkReceiver, LinkTerms } from "./link.ts";

/** A hello is a few bytes; nobody may send more before it is accepted. */
const MAX_HELLO_BYTES = 64;

/** What carries the answers to the sender. None of these may throw. */
export interface IncomingCarrier {
  /** Carries credits. */
  grant(credits: number): void;
  /** Ends the link: in order, or with a reason. Called once. */
  end(reason: MdiError | null): void;
}

/** Receives; its carrier brings messages and the end. A message that is not allowed ends the link. */
export class IncomingLink implements LinkReceiver {
  readonly #accept: LinkAcceptor;
  readonly #carrier: IncomingCarrier;
  #hello: LinkHello | undefined;
  #terms: LinkTerms | undefined;
  #queue: CreditedQueue<RingMessage> | undefined;
  #dropped = 0;
  #decodeMs = 0;
  /** Number of the last frame that came. */
  #frames = 0;
  #finished = false;

  /** Waits for a hello. */
  constructor(carrier: IncomingCarrier, accept: LinkAcceptor) {
    this.#carrier = carrier;
    this.#accept = accept;
  }

  get hello(): LinkHello {
    return this.#hello!;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** Whether the hello was accepted. */
  get greeted(): boolean {
    return this.#terms !== undefined;
  }

  /** Whether the link has ended on this side. */
  get finished(): boolean {
    return this.#finished;
  }

  /** Longest message that is allowed next, in bytes. */
  get maxMessageBytes(): number {
    return this.#terms?.codec.maxMessageBytes ?? MAX_HELLO_BYTES;
  }

  get decodeMs(): number {
    return this.#decodeMs;
  }

  /** A LinkRequest arrived, in a buffer that is this link's from now on. */
  message(bytes: Uint8Array): void {
    if (this.#finished) return;
    try {
      const start = performance.now();
      const request = parse(bytes);
      const { message } = request;
      if (!this.#queue) this.#greet(request);
      else if (message.case === "hello") throw notAllowed("a second hello");
      // Before its sizes are judged: another wiring may have had others.
      else if (message.case && message.value.epoch !== this.#hello!.epoch) this.#drop();
      else {
        const { codec, spans } = this.#terms!;
        const decoded = codec.decode(request);
        const end = performance.now();
        this.#decodeMs += end - start;
        if (decoded.kind === "frame") this.#frames++;
        spans?.message("decode", decoded, this.#frames, start, end, bytes.length);
        this.#queue.push(decoded);
      }
    } catch (error) {
      this.fail(
        error instanceof MdiError
          ? error
          : new MdiError("internal", `Cannot take a message: ${messageOf(error)}`, {
            cause: error,
          }),
      );
    }
  }

  /** The sender sends no more. */
  ended(): void {
    if (this.#queue) this.#queue.end();
    else this.fail(notAllowed("the end of the link before a hello"));
  }

  /** The link broke, or the sender broke its rules. */
  fail(reason: MdiError): void {
    // In this order, as a reader that learns of the end finishes the link in order.
    this.#finish(reason);
    this.#queue?.fail(reason);
  }

  close(reason?: MdiError): void {
    if (reason) this.fail(reason);
    else this.#queue?.return();
  }

  [Symbol.asyncIterator](): AsyncIterator<RingMessage> {
    return this.#queue!;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  #greet({ message }: LinkRequest): void {
    if (message.case !== "hello") throw notAllowed(`${message.case ?? "nothing"} before a hello`);
    const { epoch, from } = message.value;
    this.#hello = { epoch, from };
    this.#terms = this.#accept(this.#hello);
    this.#queue = new CreditedQueue({
      window: this.#terms.credits,
      grant: (credits) => this.#carrier.grant(credits),
      onDone: () => this.#finish(null),
    });
    this.#terms.receive(this);
  }

  #drop(): void {
    this.#dropped++;
    this.#queue!.push(null);
  }

  #finish(reason: MdiError | null): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#carrier.end(reason);
  }
}

/** The reason for a link whose sender is gone. */
export function predecessorLost(cause?: unknown): MdiError {
  return new MdiError("peer_lost", "Lost the link from the predecessor: it broke off", { cause });
}

function parse(bytes: Uint8Array): LinkRequest {
  try {
    return fromBinary(LinkRequestSchema, bytes);
  } catch (cause) {
    throw new MdiError(
      "protocol",
      `Cannot take the message: it is not a LinkRequest (${messageOf(cause)})`,
      {
        cause,
        details: { field: "message", met: bytes.length },
      },
    );
  }
}

function notAllowed(what: string): MdiError {
  return new MdiError("protocol", `Cannot take the message: ${what} is not allowed`, {
    details: { field: "message", met: what },
  });
}

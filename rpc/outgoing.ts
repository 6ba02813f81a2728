/** A link's sending end, whatever carries its bytes. */
import { create, toBinary } from "@bufbuild/protobuf";
import type { RingMessage } from "../engine/ring/message.ts";
import type { SpanRecorder } from "../engine/ring/spans.ts";
import { MdiError } from "../wasm/error.ts";
import { CreditGate } from "./credits.ts";
import type { FrameCodec } from "./frame.ts";
import { LinkRequestSchema } from "./gen/mdi/v1/ring_pb.ts";
import type { LinkHello, LinkSender } from "./link.ts";

/** What carries a link's bytes to the successor. None of these may throw or reject. */
export interface OutgoingCarrier {
  /** Carries a LinkRequest. Returns the bytes that it takes on the connection. */
  write(message: Uint8Array): number;
  /** Tells the successor that no more come. */
  end(): void;
  /** Lets go of what it uses, at once; called once. Disposing the link waits for it. */
  destroy(): void | PromiseLike<void>;
}

/** How an {@linkcode OutgoingLink} sends. */
export interface OutgoingLinkOptions extends LinkHello {
  /** Encodes the messages. */
  codec: FrameCodec;
  /** Limit on waiting for the successor to take what was sent, in ms, when the link is closed. */
  closeTimeoutMs: number;
  /** Ends the link at once. */
  signal?: AbortSignal | undefined;
  /** Records what it does, where the run is traced. */
  spans?: SpanRecorder | undefined;
}

/** Sends; its carrier reports credits and the end. */
export class OutgoingLink implements LinkSender {
  readonly #options: OutgoingLinkOptions;
  readonly #carrier: OutgoingCarrier;
  readonly #gate = new CreditGate();
  readonly #opened = Promise.withResolvers<void>();
  readonly #down = Promise.withResolvers<MdiError | null>();
  #isDown = false;
  #destroyed: void | PromiseLike<void> = undefined;
  #closing: Promise<void> | undefined;
  #bytesSent = 0;
  #encodeMs = 0;
  /** Number of the last frame given to it. */
  #frames = 0;

  /** Sends the hello. */
  constructor(carrier: OutgoingCarrier, options: OutgoingLinkOptions) {
    this.#carrier = carrier;
    this.#options = options;
    // Whoever opens the link waits for this; a link that ends later must not make it an uncaught error.
    this.#opened.promise.catch(() => {});
    const { epoch, from, signal } = options;
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#write(
      toBinary(
        LinkRequestSchema,
        create(LinkRequestSchema, { message: { case: "hello", value: { epoch, from } } }),
      ),
    );
    if (signal?.aborted) this.#onAbort();
  }

  get down(): Promise<MdiError | null> {
    return this.#down.promise;
  }

  get bytesSent(): number {
    return this.#bytesSent;
  }

  get creditWaitMs(): number {
    return this.#gate.waitMs;
  }

  get encodeMs(): number {
    return this.#encodeMs;
  }

  /** Resolves when the successor has accepted the hello; rejects with an MdiError where it has not. */
  opened(): Promise<void> {
    return this.#opened.promise;
  }

  send(message: RingMessage, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { codec, spans } = this.#options;
    if (message.kind === "frame") this.#frames++;
    const frame = this.#frames;
    const waitsSince = spans && this.#gate.halted ? performance.now() : null;
    return this.#gate.run(() => {
      const start = performance.now();
      const bytes = toBinary(LinkRequestSchema, codec.encode(message));
      const encoded = performance.now();
      this.#encodeMs += encoded - start;
      this.#write(bytes);
      if (!spans) return;
      if (waitsSince !== null) spans.message("credits", message, frame, waitsSince, start);
      spans.message("encode", message, frame, start, encoded);
      spans.message("send", message, frame, encoded, performance.now(), bytes.length);
    }, options);
  }

  /** The successor granted credits. */
  granted(credits: number): void {
    this.#opened.resolve();
    this.#gate.grant(credits);
  }

  /** The link has ended: null where the successor ended it in order. */
  ended(reason: MdiError | null): void {
    if (this.#isDown) return;
    this.#isDown = true;
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    const ours = this.#closing && reason === null;
    const error = reason ?? new MdiError("peer_lost", "The successor closed the link");
    this.#gate.close(error);
    this.#opened.reject(error);
    this.#destroyed = this.#carrier.destroy();
    this.#down.resolve(ours ? null : error);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    if (!this.#isDown) await this.#end();
    await this.#destroyed;
  }

  async #end(): Promise<void> {
    const { closeTimeoutMs } = this.#options;
    this.#gate.close(new MdiError("cancelled", "Cannot send the message: the link is closed"));
    this.#carrier.end();
    const timer = setTimeout(() => {
      this.ended(
        new MdiError("peer_lost", `The successor did not end the link in ${closeTimeoutMs} ms`),
      );
    }, closeTimeoutMs);
    await this.down;
    clearTimeout(timer);
  }

  #write(bytes: Uint8Array): void {
    this.#bytesSent += this.#carrier.write(bytes);
  }

  #onAbort = (): void => {
    const cause = this.#options.signal?.reason;
    this.ended(new MdiError("cancelled", "Cancelled the link to the successor", { cause }));
  };
}

/**
 * Makes a ring out of peers that answered: claim, configure, load, link. The starter opens Control to
 * every peer and tells each its successor, by the address that the starter itself resolved; the last
 * one is told where the starter listens, or, where that is everywhere, the local address of that very
 * connection.
 */
import { create } from "@bufbuild/protobuf";
import { MdiError } from "../wasm/error.ts";
import type { KvType } from "../wasm/stage.ts";
import type { Manifest } from "../engine/model/types.ts";
import type { Plan } from "../engine/plan/plan.ts";
import type { RingPort } from "../engine/ring/driver.ts";
import { MAX_FRAME_ROWS } from "../engine/ring/message.ts";
import { DEFAULT_SPANS, type SpanRecorder } from "../engine/ring/spans.ts";
import { type Address, formatAddress } from "./address.ts";
import { createFrameCodec, type FrameCodec } from "./frame.ts";
import {
  Configure_Dtype,
  ConfigureSchema,
  type Ready,
  type Stats,
} from "./gen/mdi/v1/control_pb.ts";
import type { RingIdentity } from "./identity.ts";
import { kvFromWire, kvToWire } from "./kv_type.ts";
import type { LinkReceiver, LinkSender } from "./link.ts";
import { connectLink } from "./link_connect.ts";
import type { Peer } from "./peer.ts";
import type { RingEvent } from "./ring_options.ts";
import type { LinkTarget } from "./ring_service.ts";
import { starterAddress } from "./starter_address.ts";

/** What takes a node its time, as it names it and for people. */
const DOING = new Map([["fetch", "fetching layers"], ["pack", "packing weights"]]);
/** How long the last node may take to reach the starter. */
const LINK_MS = 10_000;
/** After a link broke, how long to wait for the connection that tells whose fault it was, in ms. */
const BLAME_MS = 300;

/** What a ring is wired from. */
export interface WiringOptions {
  peers: readonly Peer[];
  manifest: Manifest;
  plan: Plan;
  starter: string;
  identity: RingIdentity | undefined;
  /** Where the starter's server listens. */
  listen: Address;
  /** Where the starter is reached, where its own address is not it. */
  advertise: Address | undefined;
  wire: "f32" | "f16";
  context: number;
  kv: KvType;
  /** The starter's recorder where the run is traced: then the peers record too. */
  spans?: SpanRecorder | undefined;
  signal: AbortSignal;
  onEvent: (event: RingEvent) => void;
}

/** A ring's far side, as the starter sees it. */
export class Wiring implements LinkTarget, AsyncDisposable {
  readonly epoch: number = 1 + Math.floor(Math.random() * 2 ** 20);
  readonly inputCodec: FrameCodec;
  /** What each peer said when it was ready, in the ring's order. */
  ready: Ready[] = [];
  #options: WiringOptions;
  #input = Promise.withResolvers<LinkReceiver>();
  #sender: LinkSender | undefined;
  #receiver: LinkReceiver | undefined;
  #linked = false;
  /** Ends the link to the first peer at once. */
  #breaking = new AbortController();
  #owned = new AsyncDisposableStack();
  #lost: Promise<MdiError>;
  #closed = false;

  /** Prepares; nothing is sent yet. */
  constructor(options: WiringOptions) {
    this.#options = options;
    this.inputCodec = this.#codec("return");
    this.#lost = firstLoss(options.peers);
    // A ring that broke has nothing to deliver, and a node that is silent would not take it.
    this.#lost.then((error) => this.#breaking.abort(error));
    this.#input.promise.catch(() => {});
  }

  /** Settles when a peer is gone: with an error that names it. */
  get lost(): Promise<MdiError> {
    return this.#lost;
  }

  /** The starter's recorder; undefined where the run is not traced. */
  get spans(): SpanRecorder | undefined {
    return this.#options.spans;
  }

  /** Index of the last node, whose link closes the ring. */
  get predecessor(): number {
    return this.#options.peers.length;
  }

  /** Whether that link is there. */
  get linked(): boolean {
    return this.#linked;
  }

  /** Bytes sent to the first peer. */
  get bytesSent(): number {
    return this.#sender?.bytesSent ?? 0;
  }

  /** Time in which messages were turned into bytes and back, in ms. */
  get codecMs(): number {
    return (this.#sender?.encodeMs ?? 0) + (this.#receiver?.decodeMs ?? 0);
  }

  /** Takes the last node's link. */
  accept(receiver: LinkReceiver): void {
    this.#linked = true;
    this.#input.resolve(receiver);
  }

  /**
   * Claims, configures and waits until every peer has loaded its layers.
   * @throws {MdiError} busy, memory, disk, model_corrupt, peer_lost …
   */
  async configure(): Promise<void> {
    const { peers, starter } = this.#options;
    const addresses = peers.map((peer) => formatAddress(peer.remoteAddress));
    this.ready = await this.#unlessLost(Promise.all(peers.map(async (peer, i) => {
      await peer.claim(starter);
      return await peer.configure(
        this.#configuration(i + 1, addresses),
        (what, done, total) => this.#progress(peer.name, what, done, total),
      );
    })));
    this.ready.forEach((ready, i) => {
      if (kvFromWire(ready.kv) === undefined) {
        throw new MdiError(
          "protocol",
          `Cannot use ${peers[i]!.name}: it has KV caches of type number ${ready.kv}`,
        );
      }
      for (const message of ready.notes) {
        this.#options.onEvent({ type: "note", node: peers[i]!.name, message });
      }
    });
  }

  /** Closes the ring: every node opens its link, the starter first. */
  async link(): Promise<RingPort> {
    const { peers, identity, signal } = this.#options;
    const first = peers[0]!;
    const sender = await connectLink(first.remoteAddress, {
      identity,
      codec: this.#codec("stage"),
      epoch: this.epoch,
      from: 0,
      signal: AbortSignal.any([signal, this.#breaking.signal]),
      spans: this.spans,
    }).catch((error: Error) => this.#blame(error));
    this.#sender = this.#owned.use(sender);
    await this.#unlessLost(Promise.all(peers.map((peer) => peer.open())));
    const timer = setTimeout(() => {
      const last = peers.at(-1)!.name;
      this.#input.reject(
        new MdiError(
          "peer_unreachable",
          `Cannot close the ring: ${last} did not reach ${
            formatAddress(this.#own(peers.length - 1))
          } within ${LINK_MS / 1000} s; open that port, or name another address with --advertise`,
        ),
      );
    }, LINK_MS);
    try {
      const receiver = this.#owned.use(await this.#unlessLost(this.#input.promise));
      this.#receiver = receiver;
      const blame = (error: unknown) => this.#blame(error as Error);
      return {
        send: (message) => sender.send(message).catch(blame),
        input: blamed(receiver, blame),
      };
    } finally {
      clearTimeout(timer);
    }
  }

  /** Every peer's totals. */
  async stats(): Promise<Stats[]> {
    return await Promise.all(this.#options.peers.map((peer) => peer.stats()));
  }

  #configuration(index: number, addresses: readonly string[]) {
    const { manifest, plan, peers, wire, context, kv } = this.#options;
    const [firstLayer, lastLayer] = plan.nodes[index]!.layers!;
    return create(ConfigureSchema, {
      epoch: this.epoch,
      index,
      nodes: peers.length + 1,
      manifest: JSON.stringify(manifest),
      firstLayer,
      lastLayer,
      successor: addresses[index] ?? formatAddress(this.#own(index - 1)),
      // The other nodes first: the starter has enough to do.
      providers: [
        ...addresses.filter((_, i) => i !== index - 1),
        formatAddress(this.#own(index - 1)),
      ],
      wire: wire === "f16" ? Configure_Dtype.F16 : Configure_Dtype.F32,
      context,
      kv: kvToWire(kv),
      spans: this.spans ? DEFAULT_SPANS : 0,
    });
  }

  /** Where a peer finds the starter. */
  #own(peer: number): Address {
    const { advertise, peers, listen } = this.#options;
    return starterAddress(peers[peer]!, listen, advertise);
  }

  #progress(node: string, what: string, done: number, total: number): void {
    const type = what === "fetch" ? "fetch" : "load";
    this.#options.onEvent({
      type,
      node,
      message: `${node}: ${DOING.get(what) ?? "loading"}`,
      done,
      total,
    });
  }

  #codec(edge: "stage" | "return"): FrameCodec {
    const { manifest, wire, context } = this.#options;
    return createFrameCodec({
      dModel: manifest.config.hidden,
      dtype: wire,
      edge,
      context,
      maxRows: MAX_FRAME_ROWS,
    });
  }

  async #unlessLost<T>(work: Promise<T>): Promise<T> {
    work.catch(() => {});
    return await Promise.race([work, this.#lost.then((error) => Promise.reject(error))]);
  }

  /** A broken link says that something is wrong, a broken control connection says with whom. */
  async #blame(error: Error): Promise<never> {
    throw this.#closed ? error : await soon<Error>([this.#lost], error);
  }

  /** Closes the links, once every peer knows that this is no failure. The peers are the caller's. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#options.peers.map((peer) => peer.release()));
    this.#input.reject(new MdiError("cancelled", "The ring was closed"));
    await this.#owned.disposeAsync();
  }
}

/** Who went first: a node that lost its neighbour may say so before the neighbour's connection does. */
async function firstLoss(peers: readonly Peer[]): Promise<MdiError> {
  const first = await Promise.race(peers.map((peer) => peer.lost));
  return first.code === "peer_lost" ? await soon(peers.map((peer) => peer.gone), first) : first;
}

/** The first reason that comes within {@linkcode BLAME_MS}, else the one that is there. */
async function soon<T extends Error>(reasons: readonly Promise<T>[], otherwise: T): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const waited = new Promise<T>((resolve) => {
    timer = setTimeout(() => resolve(otherwise), BLAME_MS);
  });
  try {
    return await Promise.race([...reasons, waited]);
  } finally {
    clearTimeout(timer);
  }
}

async function* blamed<T>(source: AsyncIterable<T>, blame: (error: unknown) => Promise<never>) {
  try {
    yield* source;
  } catch (error) {
    await blame(error);
  }
  // The last node ends its link in order where it lost its own predecessor.
  await blame(new MdiError("peer_lost", "The ring was closed by its last node"));
}

/**
 * A ring of modelled devices and links under the virtual clock, around the production scheduler.
 *
 * The starter's part is what driver.ts does: one compute thread, which takes forwards and heads in the
 * order they are asked for; a forward is asked for by the scheduler, one at a time, and is done for it
 * when its frame is on the link; a head is asked for when the one before it has drawn, after what the
 * scheduler answered to that. A secondary's part is what relay.ts does: it takes messages as long as
 * three at most have not left, computes them in order, and sends them in order.
 */
import type { FrameSegment, RingAction, RingEvent, Scheduler } from "../ring/schedule.ts";
import type { VirtualClock } from "../ring/virtual_clock.ts";
import { VirtualLink, type VirtualLinkOptions } from "../ring/virtual_link.ts";
import { VirtualWorker } from "../ring/virtual_worker.ts";
import type { DeviceSpeed } from "./device_speed.ts";
import type { TimelineFrame, TimelineSpan, TimelineWork } from "./timeline.ts";

/** Messages that a relay has taken and that have not left: relay.ts hands two on ahead of the first. */
const IN_HAND = 3;
/** Bytes of a message beside its rows. */
const HEADER_BYTES = 64;

/** A modelled device. Times are in ms at full speed. */
export interface SimulatedNode {
  /** Of its layers, over a frame's rows, and of the frame's messages where they take of computing. */
  layersMs: (rows: number) => number;
  /** Of embed; only the starter's is asked for. */
  embedMs: (rows: number) => number;
  /** Of head; only the starter's is asked for. */
  headMs: (rows: number) => number;
  speed: DeviceSpeed;
}

/** A modelled link. */
export type SimulatedLink = Omit<
  VirtualLinkOptions<unknown>,
  "credits" | "deliver" | "observe"
>;

/** What a ring is made from. */
export interface SimulatedRingOptions {
  clock: VirtualClock;
  scheduler: Scheduler;
  nodes: readonly SimulatedNode[];
  /** `links[i]` is the way out of node i. */
  links: readonly SimulatedLink[];
  /** Bytes of a row on a link. */
  rowBytes: number;
  /** Messages that each link's receiver lets come before it takes one. */
  credits: number;
  /** A token was drawn for the sample. Returns whether it ends with it. */
  onToken: (sample: number) => boolean;
  onAction: (action: RingAction) => void;
  onBusy?: (node: number, span: TimelineSpan) => void;
  onFrame?: (link: number, frame: TimelineFrame) => void;
}

/** What travels: a frame, or a change of a cache, of which only its place in the order counts. */
interface Message {
  /** Rows that each stage computes; 0 for a change of a cache. */
  rows: number;
  /** Rows that head needs. */
  wanted: number;
}

const CACHE_CHANGE: Message = { rows: 0, wanted: 0 };

/** A piece of a job. */
type Part = readonly [what: TimelineWork, ms: number];

/** One node: its compute thread and how it spends its time. */
class Device {
  readonly worker: VirtualWorker;
  readonly #index: number;
  readonly #speed: DeviceSpeed;
  readonly #onBusy: SimulatedRingOptions["onBusy"];

  constructor(index: number, { clock, nodes, onBusy }: SimulatedRingOptions) {
    this.worker = new VirtualWorker(clock);
    this.#index = index;
    this.#speed = nodes[index]!.speed;
    this.#onBusy = onBusy;
  }

  isAlive(at: number): boolean {
    return this.#speed.isAlive(at);
  }

  compute(rows: number, parts: readonly Part[], done: () => void): void {
    this.worker.run({ start: (at) => this.#start(at, rows, parts), done });
  }

  #start(start: number, rows: number, parts: readonly Part[]): number {
    let from = start;
    for (const [what, ms] of parts) {
      const to = this.#speed.finish(from, ms);
      if (to > from) this.#onBusy?.(this.#index, { from, to, rows, what });
      from = to;
      if (!this.#speed.isAlive(to)) return Infinity;
    }
    return from - start;
  }
}

/** A secondary between its two links. */
class Relay {
  readonly #device: Device;
  readonly #layersMs: SimulatedNode["layersMs"];
  readonly #clock: VirtualClock;
  readonly #taken: () => void;
  readonly #send: (message: Message, onWay: () => void) => void;
  readonly #queue: Message[] = [];
  /** Taken and not yet sent, in order. */
  readonly #leaving: { message: Message; computed: boolean }[] = [];
  #inHand = 0;

  constructor(
    device: Device,
    layersMs: SimulatedNode["layersMs"],
    clock: VirtualClock,
    ends: { taken: () => void; send: (message: Message, onWay: () => void) => void },
  ) {
    this.#device = device;
    this.#layersMs = layersMs;
    this.#clock = clock;
    this.#taken = ends.taken;
    this.#send = ends.send;
  }

  receive(message: Message): void {
    if (!this.#device.isAlive(this.#clock.now())) return;
    this.#queue.push(message);
    this.#takeIn();
  }

  #takeIn(): void {
    while (this.#inHand < IN_HAND && this.#queue.length > 0) {
      const message = this.#queue.shift()!;
      this.#taken();
      this.#inHand++;
      const entry = { message, computed: message.rows === 0 };
      this.#leaving.push(entry);
      if (entry.computed) {
        this.#leave();
        continue;
      }
      this.#device.compute(message.rows, [["layers", this.#layersMs(message.rows)]], () => {
        entry.computed = true;
        this.#leave();
      });
    }
  }

  #leave(): void {
    while (this.#leaving[0]?.computed) {
      this.#send(this.#leaving.shift()!.message, () => {
        this.#inHand--;
        this.#takeIn();
      });
    }
  }
}

/** The ring. */
export class SimulatedRing {
  readonly #options: SimulatedRingOptions;
  readonly #devices: Device[];
  readonly #links: VirtualLink<Message>[];
  readonly #events: RingEvent[] = [];
  /** Rows of frames that came back, one list a frame, that wait for head. */
  readonly #heads: (readonly number[])[] = [];
  #stepping = false;

  /** Makes an empty ring. */
  constructor(options: SimulatedRingOptions) {
    const { nodes, clock, credits } = options;
    this.#options = options;
    this.#devices = nodes.map((_, i) => new Device(i, options));
    const relays: Relay[] = [];
    this.#links = nodes.length === 1
      ? []
      : options.links.map((link, from) =>
        new VirtualLink<Message>(clock, {
          ...link,
          credits,
          deliver: (message) => relays[from] ? relays[from].receive(message) : this.#home(message),
          ...(options.onFrame && {
            observe: (message, sent, arrived) => this.#observe(from, message, sent, arrived),
          }),
        })
      );
    for (let i = 1; i < nodes.length; i++) {
      relays.push(
        new Relay(this.#devices[i]!, nodes[i]!.layersMs, clock, {
          taken: () => this.#links[i - 1]!.take(),
          send: (message, onWay) => this.#links[i]!.send(message, this.#bytes(i, message), onWay),
        }),
      );
    }
  }

  /** Milliseconds that each node has computed until now. */
  busyMs(): number[] {
    return this.#devices.map(({ worker }) => worker.busyMs);
  }

  /** Milliseconds for which each link's bytes have occupied it until now. */
  linkBusyMs(): number[] {
    return this.#links.map((link) => link.busyMs);
  }

  /** Hands an event to the scheduler and does what it answers. */
  tell(event: RingEvent): void {
    this.#events.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
      for (const action of this.#options.scheduler.step(next)) this.#act(action);
    }
    this.#stepping = false;
  }

  #act(action: RingAction): void {
    this.#options.onAction(action);
    switch (action.type) {
      case "open":
      case "truncate":
      case "release":
        this.#links[0]?.send(CACHE_CHANGE, HEADER_BYTES, () => {});
        break;
      case "compute":
        this.#compute(messageOf(action.segments));
        break;
      case "head":
        this.#heads.push(action.rows.map(({ sample }) => sample));
        if (this.#heads.length === 1) this.#head();
        break;
      case "finish":
      case "reject":
    }
  }

  #compute(message: Message): void {
    const { rows } = message;
    const { embedMs, layersMs } = this.#options.nodes[0]!;
    const parts: Part[] = [["embed", embedMs(rows)], ["layers", layersMs(rows)]];
    this.#devices[0]!.compute(rows, parts, () => {
      const link = this.#links[0];
      if (link) {
        link.send(message, this.#bytes(0, message), () => this.tell({ type: "computed" }));
        return;
      }
      this.tell({ type: "returned" });
      this.tell({ type: "computed" });
    });
  }

  #head(): void {
    const samples = this.#heads[0];
    if (samples === undefined) return;
    const ms = this.#options.nodes[0]!.headMs(samples.length);
    this.#devices[0]!.compute(samples.length, [["head", ms]], () => {
      const ended = samples.filter((sample) => this.#options.onToken(sample));
      // Not to be posted before what the scheduler answers to this one.
      this.tell({ type: "drawn", ended });
      this.#heads.shift();
      this.#head();
    });
  }

  #home(message: Message): void {
    if (!this.#devices[0]!.isAlive(this.#options.clock.now())) return;
    this.#links.at(-1)!.take();
    if (message.rows > 0) this.tell({ type: "returned" });
  }

  /** Bytes of a message on the way out of a node: to the starter only wanted rows go. */
  #bytes(from: number, { rows, wanted }: Message): number {
    const sent = from === this.#links.length - 1 ? wanted : rows;
    return Math.max(HEADER_BYTES, sent * this.#options.rowBytes);
  }

  #observe(from: number, message: Message, sent: number, arrived: number): void {
    if (message.rows === 0) return;
    const bytes = this.#bytes(from, message);
    this.#options.onFrame!(from, { sent, arrived, rows: message.rows, bytes });
  }
}

function messageOf(segments: readonly FrameSegment[]): Message {
  let rows = 0;
  let wanted = 0;
  for (const segment of segments) {
    rows += segment.rows;
    wanted += segment.wanted;
  }
  return { rows, wanted };
}

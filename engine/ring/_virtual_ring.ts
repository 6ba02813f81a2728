/**
 * A ring under a virtual clock for the scheduler's tests: nodes that compute one message after
 * another, links that keep order. It carries out the scheduler's actions and refuses what a real
 * node would: rows at a wrong position, a cache that is unknown, open twice, full or too big. Its caches
 * hold token ids, so that rows which follow others than they were meant to are found.
 */
import { assert, assertEquals } from "@std/assert";
import type { FrameSegment, RingAction, RingEvent, SchedulerConfig } from "./schedule.ts";
import { createScheduler } from "./scheduler.ts";
import { VirtualClock } from "./virtual_clock.ts";
import { VirtualWorker } from "./virtual_worker.ts";

/** What a ring is modelled by. Times are in ms. */
export interface VirtualRingOptions {
  config: SchedulerConfig;
  /** Time of embed and layers over a frame's rows at a node. */
  forwardMs: (node: number, rows: number) => number;
  /** Time of head over rows, at the starter. */
  headMs: (rows: number) => number;
  /** All ids of a sample now, prompt and drawn; where it is left out, caches are checked by length. */
  idsOf?: (sample: number) => readonly number[];
  /** Time of one message on a link. */
  latencyMs: () => number;
  /** In a ring of one: whether `returned` comes before `computed`. */
  returnedFirst?: boolean;
  /**
   * A row of the sample went to head. Returns what draws its token and tells whether the sample ended
   * with it; the turn may be over by then.
   */
  onHead: (sample: number) => () => boolean;
  /** Called with every action, before it is carried out. */
  onAction: (action: RingAction) => void;
}

type CacheAction = RingAction & { type: "open" | "truncate" | "release" };
type Message =
  | CacheAction
  | (RingAction & { type: "compute" }) & {
    /** For each segment the ids of its sample up to its last row, as they were when it was sent. */
    ids: readonly (readonly number[])[];
  };

/** One node: its compute thread and its caches. */
class VirtualNode {
  readonly #worker: VirtualWorker;
  readonly #kvTokens: number;
  readonly #pageTokens: number;
  readonly #caches = new Map<number, { capacity: number; ids: number[] }>();

  constructor(clock: VirtualClock, { kvTokens, kvPageTokens = 1 }: SchedulerConfig) {
    this.#worker = new VirtualWorker(clock);
    this.#kvTokens = kvTokens;
    this.#pageTokens = kvPageTokens;
  }

  get busyMs(): number {
    return this.#worker.busyMs;
  }

  get empty(): boolean {
    return this.#caches.size === 0 && this.#worker.idle;
  }

  run(ms: number, done: () => void): void {
    this.#worker.run({ start: () => ms, done });
  }

  change(action: CacheAction): void {
    const cache = this.#caches.get(action.sample);
    if (action.type === "open") {
      assert(cache === undefined, `cache ${action.sample} is opened twice`);
      this.#caches.set(action.sample, { capacity: action.capacity, ids: [] });
      const page = this.#pageTokens;
      const used = [...this.#caches.values()].reduce(
        (sum, { capacity }) => sum + page * Math.ceil(capacity / page),
        0,
      );
      assert(used <= this.#kvTokens, `${used} tokens of ${this.#kvTokens} are used`);
      return;
    }
    if (cache === undefined) throw new Error(`${action.type} of unknown cache ${action.sample}`);
    if (action.type === "release") {
      this.#caches.delete(action.sample);
    } else {
      assertEquals(action.capacity, cache.capacity);
      assert(action.length < cache.ids.length, "a truncate shortens");
      cache.ids.length = action.length;
    }
  }

  append({ segments, ids }: Message & { type: "compute" }): void {
    for (const [i, { sample, position, rows }] of segments.entries()) {
      const cache = this.#caches.get(sample);
      if (cache === undefined) throw new Error(`rows of unknown cache ${sample}`);
      assertEquals(position, cache.ids.length, `rows of sample ${sample} are not contiguous`);
      const before = cache.ids.every((id, j) => id === ids[i]![j]);
      assert(before, `rows of sample ${sample} at ${position} follow others than theirs`);
      cache.ids.push(...ids[i]!.slice(position, position + rows));
      assert(cache.ids.length <= cache.capacity, `cache ${sample} is full`);
    }
  }
}

/** The ring and its driver. */
export class VirtualRing {
  readonly clock = new VirtualClock();
  readonly nodes: VirtualNode[];
  /** Steps that the scheduler took. */
  steps = 0;
  /** Frames in the ring now. */
  frames = 0;
  readonly scheduler;
  readonly #options: VirtualRingOptions;
  readonly #events: RingEvent[] = [];
  /** When the last message on the link from a node arrives: links keep order. */
  readonly #arrival: number[];
  #stepping = false;
  #computing = false;

  constructor(options: VirtualRingOptions) {
    const { nodes } = options.config;
    this.#options = options;
    this.nodes = Array.from({ length: nodes }, () => new VirtualNode(this.clock, options.config));
    this.#arrival = new Array(nodes).fill(0);
    this.scheduler = createScheduler(options.config);
  }

  /** Nothing is left of any sample, anywhere. */
  get empty(): boolean {
    return this.frames === 0 && !this.#computing && this.nodes.every((node) => node.empty);
  }

  /** Hands an event to the scheduler and carries out its actions. */
  tell(event: RingEvent): void {
    this.#events.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
      this.steps++;
      for (const action of this.scheduler.step(next)) this.#carryOut(action);
    }
    this.#stepping = false;
  }

  #carryOut(action: RingAction): void {
    this.#options.onAction(action);
    const starter = this.nodes[0]!;
    switch (action.type) {
      case "open":
      case "truncate":
      case "release":
        assert(!this.#computing, "a cache change overtakes a frame");
        starter.change(action);
        this.#send(0, action);
        break;
      case "compute": {
        assert(!this.#computing, "one compute at a time");
        this.#computing = true;
        this.frames++;
        const ids = action.segments.map((segment) => this.#ids(segment));
        const message = { ...action, ids };
        starter.run(this.#options.forwardMs(0, rowsOf(action.segments)), () => {
          starter.append(message);
          this.#computing = false;
          const sendFirst = this.nodes.length > 1 || this.#options.returnedFirst;
          if (sendFirst) this.#send(0, message);
          this.tell({ type: "computed" });
          if (!sendFirst) this.#send(0, message);
        });
        break;
      }
      case "head": {
        const draws = action.rows.map(({ sample }) => ({
          sample,
          draw: this.#options.onHead(sample),
        }));
        starter.run(this.#options.headMs(draws.length), () => {
          const ended = draws.filter(({ draw }) => draw()).map(({ sample }) => sample);
          this.tell({ type: "drawn", ended });
        });
        break;
      }
      case "finish":
      case "reject":
    }
  }

  #ids({ sample, position, rows }: FrameSegment): number[] {
    const end = position + rows;
    if (!this.#options.idsOf) return new Array(end).fill(0);
    const ids = this.#options.idsOf(sample).slice(0, end);
    assertEquals(ids.length, end, `rows of sample ${sample} beyond its ids`);
    return ids;
  }

  #send(from: number, message: Message): void {
    const to = (from + 1) % this.nodes.length;
    if (this.nodes.length === 1) return this.#home(message);
    const now = this.clock.now();
    const arrival = Math.max(this.#arrival[from]!, now + this.#options.latencyMs());
    this.#arrival[from] = arrival;
    this.clock.after(arrival - now, () => to === 0 ? this.#home(message) : this.#pass(to, message));
  }

  #pass(index: number, message: Message): void {
    const node = this.nodes[index]!;
    const frame = message.type === "compute";
    const ms = frame ? this.#options.forwardMs(index, rowsOf(message.segments)) : 0;
    node.run(ms, () => {
      if (frame) node.append(message);
      else node.change(message);
      this.#send(index, message);
    });
  }

  #home(message: Message): void {
    if (message.type !== "compute") return;
    assertEquals(this.scheduler.expected, message.segments);
    this.frames--;
    this.tell({ type: "returned" });
  }
}

function rowsOf(segments: readonly FrameSegment[]): number {
  return segments.reduce((sum, { rows }) => sum + rows, 0);
}

/**
 * Recurrent pipeline parallelism: which rows the starter puts into the ring, and when.
 *
 * A token of a sample needs the one before it, so a sample has one decode row in the ring at a time;
 * a ring of N nodes is busy when N frames are in it, one per node. Hence:
 *
 * - *Decode*. The ready rows of D decoding samples go into F = `decodeFrames` frames of at most
 *   ⌈D / F⌉ rows, and F frames at most are out (from compute until their tokens are drawn). To take
 *   all queued rows at once would be a mistake at the starter: whenever two samples meet there they
 *   would share a frame from then on, until one frame with all samples went round and N - 1 nodes
 *   idled. To put no bound on the frames out would be the opposite one: frames once split, as samples
 *   come and go, never joined again and each node read its weights once a row. With both bounds a row
 *   too many waits for the next frame to come home, leaves with it, and one round mends the groups.
 * - *Prefill* goes in chunks that follow each other without waiting for their return. They end at
 *   absolute positions that are multiples of `chunk`, so they depend on the sample's tokens alone and
 *   the bits of a prompt's cache do not depend on ring, split or load.
 * - *Between both*: when both could go they alternate, so that a long prompt never stalls the others
 *   and tokens never starve a prompt. Prompts go one after another, oldest first.
 * - *Admission* is first in, first out: the head of the queue waits for a slot and for the room of its
 *   caches on every node. Nobody overtakes it but the next turn of a paused sample while the head waits
 *   for room, for that turn has its room. A freed slot is taken in the same step. Room that the samples
 *   before it keep between their turns is never waited for, as no turn's end frees it: what cannot fit
 *   beside them is rejected.
 *
 * Cache changes travel the ring in order with the frames. They are given only while no compute is
 * outstanding, that is behind every frame with rows of the sample. As each node meets a `release`
 * before the `open` that follows it, the room is free as soon as the release is given.
 */
import { MdiError } from "../../wasm/error.ts";
import { KvBudget } from "./kv_budget.ts";
import { MAX_RING_NODES } from "./message.ts";
import type {
  FrameSegment,
  HeadRow,
  RingAction,
  RingEvent,
  Scheduler,
  SchedulerConfig,
} from "./schedule.ts";

/** A sample as far as the scheduler knows it. */
interface Sample {
  readonly id: number;
  readonly capacity: number;
  readonly keep: boolean;
  /** Whether its caches are open, on their way at least. */
  open: boolean;
  /** Rows sent: the caches' length when all frames in the ring have passed. */
  length: number;
  /**
   * How many of these rows, from the first, are of the ids that the sample has now. A turn that ends
   * without a slot has changed the ids and left the caches as they were.
   */
  valid: number;
  /** The turn that runs or waits; null while the sample is paused. */
  turn: Turn | null;
}

/** One prompt and its answer. Frames refer to turns, so rows of an ended one are known as stale. */
interface Turn {
  readonly sample: Sample;
  /** Tokens of the prompt. */
  readonly tokens: number;
  /** Tokens of earlier turns that stayed in the caches when it got its slot. */
  cached: number;
  state: "queued" | "prefill" | "decode" | "ended";
  /** Index of its slot, -1 without one. */
  slot: number;
  /** The step that gave it the slot. */
  from: number;
}

/** A frame in the ring, then in head. `turns[i]` is whose `segments[i]` is. */
interface Frame {
  readonly decode: boolean;
  readonly segments: FrameSegment[];
  readonly turns: Turn[];
}

/**
 * Makes a scheduler for an empty ring. It has no clock, does no I/O; the same events give the same actions.
 * @throws {RangeError} where a number of the config is not an integer in its range.
 */
export function createScheduler(config: SchedulerConfig): Scheduler {
  return new RingScheduler(config);
}

class RingScheduler implements Scheduler {
  readonly #chunk: number;
  readonly #queueLimit: number;
  readonly #decodeFrames: number;
  readonly #prefillFrames: number;
  readonly #observe: SchedulerConfig["observe"];
  readonly #kv: KvBudget;
  readonly #slots: (Turn | null)[];
  readonly #samples = new Map<number, Sample>();
  /** Waiting for a slot. */
  readonly #queue: Turn[] = [];
  /** Prompts with rows not yet sent. */
  readonly #prefilling: Turn[] = [];
  /** Samples whose next row can go. */
  readonly #ready: Turn[] = [];
  /** Frames on their way, in the order they return. */
  readonly #ring: Frame[] = [];
  /** Frames whose wanted rows are in head, in the order they are drawn. */
  readonly #heads: Frame[] = [];
  /** Cache changes that wait for the outstanding compute. */
  readonly #changes: RingAction[] = [];
  #steps = 0;
  #lastId = -1;
  #decoding = 0;
  #decodeOut = 0;
  #prefillOut = 0;
  #computing = false;
  #lastWasDecode = false;

  constructor(config: SchedulerConfig) {
    const nodes = integer("nodes", config.nodes, 1, MAX_RING_NODES);
    this.#chunk = integer("chunk", config.chunk, 1);
    this.#queueLimit = integer("queueLimit", config.queueLimit, 0);
    this.#decodeFrames = integer("decodeFrames", config.decodeFrames ?? nodes, 1);
    this.#prefillFrames = integer("prefillFrames", config.prefillFrames ?? nodes, 1);
    const pageTokens = integer("kvPageTokens", config.kvPageTokens ?? 1, 1);
    this.#kv = new KvBudget({ tokens: integer("kvTokens", config.kvTokens, 0), pageTokens });
    this.#slots = new Array(integer("slots", config.slots, 1, 2 ** 16)).fill(null);
    this.#observe = config.observe;
  }

  get expected(): readonly FrameSegment[] | undefined {
    return this.#ring[0]?.segments;
  }

  get kvPeakTokens(): number {
    return this.#kv.peak;
  }

  step(event: RingEvent): RingAction[] {
    this.#steps++;
    const actions: RingAction[] = [];
    switch (event.type) {
      case "submit":
        this.#submit(event, actions);
        break;
      case "continue":
        this.#continue(event, actions);
        break;
      case "computed":
        if (!this.#computing) {
          throw new RangeError("Cannot take computed: no compute is outstanding");
        }
        this.#computing = false;
        break;
      case "returned":
        this.#returned(actions);
        break;
      case "drawn":
        this.#drawn(event.ended, actions);
        break;
      case "stop":
      case "cancel":
        this.#stop(event.sample, event.type === "stop", actions);
        break;
    }
    this.#admit();
    this.#dispatch(actions);
    return actions;
  }

  #submit(event: RingEvent & { type: "submit" }, actions: RingAction[]): void {
    const id = integer("sample", event.sample, this.#lastId + 1, 2 ** 32 - 1);
    const tokens = integer("tokens", event.tokens, 1);
    const capacity = integer("capacity", event.capacity, tokens);
    this.#lastId = id;
    if (capacity > this.#kv.tokens) {
      const error = new MdiError(
        "memory",
        `Cannot take sample ${id}: it needs a cache of ${capacity} tokens and the ring holds ` +
          `${this.#kv.tokens}; ask for fewer tokens or add a node`,
        { details: { sample: id, capacity, kvTokens: this.#kv.tokens } },
      );
      actions.push({ type: "reject", sample: id, error });
      return;
    }
    const keep = event.keep ?? false;
    const sample: Sample = { id, capacity, keep, open: false, length: 0, valid: 0, turn: null };
    this.#samples.set(id, sample);
    if (!this.#enqueue(sample, tokens, actions)) this.#samples.delete(id);
  }

  #continue(event: RingEvent & { type: "continue" }, actions: RingAction[]): void {
    const sample = this.#samples.get(event.sample);
    if (sample === undefined || sample.turn !== null) {
      throw new RangeError(`Cannot continue sample ${event.sample}: it is not paused`);
    }
    const tokens = integer("tokens", event.tokens, 1, sample.capacity);
    const common = integer("length", event.length, 0, tokens);
    sample.valid = Math.min(sample.valid, common);
    this.#enqueue(sample, tokens, actions);
  }

  /** Queues a turn. Returns false where its room is taken, or it cannot start and the queue is full. */
  #enqueue(sample: Sample, tokens: number, actions: RingAction[]): boolean {
    const held = sample.open ? 0 : this.#held(sample);
    if (sample.capacity > this.#kv.tokens - held) {
      const error = new MdiError(
        "memory",
        `Cannot take sample ${sample.id}: it needs a cache of ${sample.capacity} tokens, and of the ` +
          `${this.#kv.tokens} that the ring holds conversations keep ${held}; end one or add a node`,
        {
          details: {
            sample: sample.id,
            capacity: sample.capacity,
            kvTokens: this.#kv.tokens,
            held,
          },
        },
      );
      actions.push({ type: "reject", sample: sample.id, error });
      return false;
    }
    const turn: Turn = { sample, tokens, cached: 0, state: "queued", slot: -1, from: 0 };
    sample.turn = turn;
    this.#queue.push(turn);
    this.#admit();
    if (this.#queue.length <= this.#queueLimit) return true;
    this.#queue.pop();
    sample.turn = null;
    const error = new MdiError(
      "busy",
      `Cannot take sample ${sample.id}: ${this.#queueLimit} others wait already; try again later`,
      { details: { sample: sample.id, queueLimit: this.#queueLimit } },
    );
    actions.push({ type: "reject", sample: sample.id, error });
    return false;
  }

  /** Tokens that the other samples which pause hold or wait for. */
  #held(sample: Sample): number {
    let tokens = 0;
    for (const other of this.#samples.values()) {
      if (other === sample || !other.keep) continue;
      if (other.open || other.turn !== null) tokens += this.#kv.roomFor(other.capacity);
    }
    return tokens;
  }

  #admit(): void {
    while (this.#queue.length > 0) {
      const slot = this.#slots.indexOf(null);
      if (slot < 0) return;
      const index = this.#nextInQueue();
      const turn = this.#queue[index];
      if (turn === undefined) return;
      const { sample } = turn;
      this.#queue.splice(index, 1);
      this.#slots[slot] = turn;
      turn.slot = slot;
      turn.from = this.#steps;
      turn.state = "prefill";
      this.#prefilling.push(turn);
      if (!sample.open) {
        sample.open = true;
        this.#changes.push({ type: "open", sample: sample.id, capacity: sample.capacity });
        continue;
      }
      // Head needs at least one row.
      turn.cached = Math.min(sample.valid, turn.tokens - 1);
      if (turn.cached === sample.length) continue;
      sample.length = sample.valid = turn.cached;
      const { id, length, capacity } = sample;
      this.#changes.push({ type: "truncate", sample: id, length, capacity });
    }
  }

  /** Index of the turn to admit, its room reserved; -1 where all wait for room. */
  #nextInQueue(): number {
    const { sample } = this.#queue[0]!;
    if (sample.open || this.#kv.reserve(sample.capacity)) return 0;
    return this.#queue.findIndex((turn) => turn.sample.open);
  }

  #dispatch(actions: RingAction[]): void {
    if (this.#computing) return;
    for (const change of this.#changes) actions.push(change);
    this.#changes.length = 0;
    const decode = this.#ready.length > 0 && this.#decodeOut < this.#decodeFrames;
    const prefill = this.#prefilling.length > 0 && this.#prefillOut < this.#prefillFrames;
    if (!decode && !prefill) return;
    this.#lastWasDecode = decode && !(prefill && this.#lastWasDecode);
    const frame = this.#lastWasDecode ? this.#decodeFrame() : this.#prefillFrame();
    this.#ring.push(frame);
    this.#computing = true;
    actions.push({ type: "compute", segments: frame.segments });
  }

  #decodeFrame(): Frame {
    this.#decodeOut++;
    const turns = this.#ready.splice(0, Math.ceil(this.#decoding / this.#decodeFrames));
    const segments = turns.map(({ sample }): FrameSegment => {
      const position = sample.length;
      sample.length = sample.valid = position + 1;
      return { sample: sample.id, position, rows: 1, wanted: 1 };
    });
    return { decode: true, segments, turns };
  }

  #prefillFrame(): Frame {
    this.#prefillOut++;
    const turn = this.#prefilling[0]!;
    const { sample, tokens } = turn;
    const position = sample.length;
    const boundary = (Math.floor(position / this.#chunk) + 1) * this.#chunk;
    sample.length = sample.valid = Math.min(boundary, tokens);
    const last = sample.length === tokens;
    if (last) this.#prefilling.shift();
    const rows = sample.length - position;
    const segment: FrameSegment = { sample: sample.id, position, rows, wanted: last ? 1 : 0 };
    return { decode: false, segments: [segment], turns: [turn] };
  }

  #returned(actions: RingAction[]): void {
    const frame = this.#ring.shift();
    if (frame === undefined) {
      throw new MdiError("protocol", "Cannot take the frame that came back: none is in the ring");
    }
    if (!frame.decode) this.#prefillOut--;
    const rows: HeadRow[] = [];
    let row = 0;
    frame.segments.forEach(({ sample, wanted }, i) => {
      if (wanted > 0 && frame.turns[i]!.state !== "ended") rows.push({ sample, row });
      row += wanted;
    });
    if (rows.length > 0) {
      this.#heads.push(frame);
      actions.push({ type: "head", rows });
    } else if (frame.decode) {
      this.#decodeOut--;
    }
  }

  #drawn(ended: readonly number[], actions: RingAction[]): void {
    const frame = this.#heads.shift();
    if (frame === undefined) throw new RangeError("Cannot take drawn: no rows are in head");
    if (frame.decode) this.#decodeOut--;
    for (const turn of frame.turns) {
      const { sample } = turn;
      if (turn.state === "ended") continue;
      // A full cache takes no row for another token.
      if (ended.includes(sample.id) || sample.length === sample.capacity) {
        this.#end(turn, sample.keep, actions);
        continue;
      }
      if (turn.state === "prefill") {
        turn.state = "decode";
        this.#decoding++;
      }
      this.#ready.push(turn);
    }
  }

  /** An unknown sample is one that ended before the word to stop it came. */
  #stop(id: number, keep: boolean, actions: RingAction[]): void {
    const sample = this.#samples.get(id);
    if (sample === undefined) return;
    if (sample.turn !== null) this.#end(sample.turn, keep && sample.keep, actions);
    else if (!keep) this.#release(sample);
  }

  #end(turn: Turn, keep: boolean, actions: RingAction[]): void {
    const { sample, slot } = turn;
    for (const list of [this.#queue, this.#prefilling, this.#ready]) {
      const index = list.indexOf(turn);
      if (index >= 0) list.splice(index, 1);
    }
    if (turn.state === "decode") this.#decoding--;
    turn.state = "ended";
    sample.turn = null;
    if (slot >= 0) {
      this.#slots[slot] = null;
      this.#observe?.({ slot, sample: sample.id, from: turn.from, to: this.#steps });
    }
    actions.push({ type: "finish", sample: sample.id, kept: keep, cached: turn.cached });
    if (!keep) this.#release(sample);
  }

  #release(sample: Sample): void {
    this.#samples.delete(sample.id);
    if (!sample.open) return;
    this.#kv.free(sample.capacity);
    this.#changes.push({ type: "release", sample: sample.id });
  }
}

/** Checks a number from a caller. */
function integer(name: string, value: number, min: number, max = Number.MAX_SAFE_INTEGER): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new RangeError(
    `Cannot schedule with ${name} = ${value}: it must be an integer from ${min} to ${max}`,
  );
}

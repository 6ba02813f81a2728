/** Random schedules under the virtual clock: arrivals, lengths, chats, stops and cancels at any moment. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { VirtualRing } from "./_virtual_ring.ts";
import type { FrameSegment, RingAction, SchedulerConfig, SlotStay } from "./schedule.ts";

/** One prompt and its answer. */
interface TurnPlan {
  tokens: number;
  /** Tokens in common with the turn before, as far as there are any. */
  common: number;
  /** Tokens after which it ends by itself. */
  answer: number;
  /** When it is interrupted, in ms after its start. */
  interrupt: { after: number; type: "stop" | "cancel" } | null;
}

interface Scenario {
  config: Omit<SchedulerConfig, "observe">;
  samples: { at: number; spare: number; keep: boolean; turns: TurnPlan[] }[];
  costs: { row: number; frame: number; head: number; link: number; slowest: number };
  returnedFirst: boolean;
}

const turnPlans: fc.Arbitrary<TurnPlan> = fc.record({
  tokens: fc.integer({ min: 1, max: 30 }),
  common: fc.nat(40),
  answer: fc.integer({ min: 1, max: 12 }),
  interrupt: fc.option(
    fc.record({
      // Many while it still waits for a slot.
      after: fc.oneof(fc.nat(5), fc.nat(200)),
      type: fc.constantFrom("stop" as const, "cancel" as const),
    }),
    { freq: 2 },
  ),
});

const scenarios: fc.Arbitrary<Scenario> = fc.record({
  config: fc.record({
    nodes: fc.oneof(
      { arbitrary: fc.integer({ min: 1, max: 5 }), weight: 4 },
      { arbitrary: fc.integer({ min: 6, max: 16 }), weight: 1 },
    ),
    slots: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 2 })),
    chunk: fc.constantFrom(1, 3, 8, 32),
    kvTokens: fc.constantFrom(50, 120, 10_000, 10_000),
    kvPageTokens: fc.constantFrom(1, 1, 16),
    queueLimit: fc.constantFrom(0, 2, 100),
    decodeFrames: fc.integer({ min: 1, max: 6 }),
    prefillFrames: fc.integer({ min: 1, max: 6 }),
  }, { requiredKeys: ["nodes", "slots", "chunk", "kvTokens", "queueLimit"] }),
  samples: fc.array(
    fc.record({
      at: fc.integer({ min: 0, max: 150 }),
      spare: fc.nat(3),
      keep: fc.boolean(),
      turns: fc.array(turnPlans, { minLength: 1, maxLength: 5 }),
    }),
    { minLength: 1, maxLength: 10 },
  ),
  costs: fc.record({
    row: fc.integer({ min: 0, max: 3 }),
    frame: fc.integer({ min: 0, max: 3 }),
    head: fc.integer({ min: 0, max: 3 }),
    link: fc.integer({ min: 0, max: 5 }),
    slowest: fc.nat(15),
  }),
  returnedFirst: fc.boolean(),
});

/** What the segments of a turn must be, whatever the ring and its load: the next one. */
function nextSegment(
  sample: number,
  position: number,
  tokens: number,
  chunk: number,
): FrameSegment {
  if (position >= tokens) return { sample, position, rows: 1, wanted: 1 };
  const end = Math.min(tokens, (Math.floor(position / chunk) + 1) * chunk);
  return { sample, position, rows: end - position, wanted: end === tokens ? 1 : 0 };
}

/** A turn as it happens. */
interface Turn {
  plan: TurnPlan;
  /** Whether it is its sample's first. */
  first: boolean;
  /** Tokens that its caches hold. */
  capacity: number;
  /** Whether there was room for it beside what pauses, when it was asked for. */
  fits: boolean;
  /** The step that asked for it. */
  asked: number;
  /** The step that gave it a slot; null where it had none. */
  from: number | null;
  /** Tokens that its caches can keep of the turns before. */
  kept: number;
  /** Position of its next row. */
  next: number;
  drawn: number;
  /** Times that it finished. */
  finished: number;
  interrupted: boolean;
}

/** One sample's user: starts its turns, interrupts them, lets go of it. */
class User {
  readonly turns: Turn[] = [];
  /** Its ids now, prompt and drawn. */
  ids: number[] = [];
  /** Rows sent, from the first, that are of these ids. */
  valid = 0;
  open = false;
  gone = false;

  constructor(
    readonly id: number,
    readonly plan: Scenario["samples"][number],
    readonly world: World,
  ) {}

  /** Tokens of room that it has or waits for, not to be had before it is gone. */
  get held(): number {
    const holds = this.turns.some((turn) =>
      turn.from !== null || turn.finished === 0 && !this.world.rejected.has(turn)
    );
    return this.plan.keep && !this.gone && holds ? this.room : 0;
  }

  get turn(): Turn {
    return this.turns.at(-1)!;
  }

  get capacity(): number {
    const longest = this.plan.turns.map(({ tokens, answer }) => tokens + answer);
    return (this.plan.keep ? Math.max(...longest) : longest[0]!) + this.plan.spare;
  }

  /** Tokens that its caches take, in whole pages. */
  get room(): number {
    const { kvPageTokens: page = 1 } = this.world.scenario.config;
    return page * Math.ceil(this.capacity / page);
  }

  start(): void {
    const { ring } = this.world;
    const plan = this.plan.turns[this.turns.length]!;
    const { tokens } = plan;
    const common = Math.min(plan.common, tokens, this.ids.length);
    this.ids.length = common;
    while (this.ids.length < tokens) this.ids.push(this.world.nextId());
    this.valid = Math.min(this.valid, common);
    const kept = Math.min(this.valid, tokens - 1);
    const first = this.turns.length === 0;
    const turn: Turn = {
      plan,
      first,
      capacity: this.capacity,
      fits: this.world.fits(this),
      asked: ring.steps + 1,
      from: null,
      kept,
      next: kept,
      drawn: 0,
      finished: 0,
      interrupted: false,
    };
    this.turns.push(turn);
    this.world.asked.push(turn);
    const { id: sample, capacity } = this;
    if (first) {
      ring.tell({ type: "submit", sample, tokens, capacity, keep: this.plan.keep });
    } else {
      ring.tell({ type: "continue", sample, tokens, length: common });
    }
    const { interrupt } = plan;
    if (interrupt === null) return;
    ring.clock.after(interrupt.after, () => {
      // Late ones are for a sample that ended; the scheduler must take them. A stop is of its turn.
      if (this.gone || interrupt.type === "cancel" || this.turn === turn) {
        this.turn.interrupted = true;
        if (interrupt.type === "cancel") this.gone = true;
        ring.tell({ type: interrupt.type, sample });
      }
    });
  }

  finish(kept: boolean, cached: number): void {
    this.turn.finished++;
    assertEquals(cached, this.turn.from === null ? 0 : this.turn.kept);
    // Once it had a slot, its caches were cut to what it keeps.
    if (this.turn.from !== null) this.valid = this.turn.next;
    if (!kept) this.gone = true;
    this.wait();
  }

  /** Between turns: the next one, or the end. */
  wait(): void {
    this.world.ring.clock.after(7, () => {
      if (this.gone) return;
      if (this.turns.length < this.plan.turns.length && this.turn.finished > 0) return this.start();
      this.gone = true;
      this.world.ring.tell({ type: "cancel", sample: this.id });
    });
  }
}

/** A scenario under way. */
class World {
  readonly users = new Map<number, User>();
  readonly stays: SlotStay[] = [];
  /** Turns in the order they were asked for. */
  readonly asked: Turn[] = [];
  readonly rejected = new Set<Turn>();
  readonly ring: VirtualRing;
  /** Samples whose token is under way, and the frame with it. */
  readonly #pending = new Set<number>();
  #next = 0;
  #lastId = 0;

  constructor(readonly scenario: Scenario) {
    const { costs, config } = scenario;
    this.ring = new VirtualRing({
      config: { ...config, observe: (stay) => this.stay(stay) },
      forwardMs: (node, rows) =>
        (costs.frame + costs.row * rows) * (node === costs.slowest % config.nodes ? 3 : 1),
      headMs: (rows) => costs.head * rows,
      idsOf: (sample) => this.users.get(sample)!.ids,
      // Jitter that is the same in every run.
      latencyMs: () => costs.link + (this.ring.steps * 7919) % 3,
      returnedFirst: scenario.returnedFirst,
      onHead: (sample) => {
        const user = this.users.get(sample)!;
        const { turn } = user;
        assert(turn.finished === 0, "head of a turn that ended");
        return () => {
          if (turn.finished > 0) return true;
          this.#pending.delete(sample);
          user.ids.push(this.nextId());
          return ++turn.drawn >= turn.plan.answer;
        };
      },
      onAction: (action) => this.check(action),
    });
    for (const plan of scenario.samples) {
      this.ring.clock.after(plan.at, () => {
        const user = new User(this.#next++, plan, this);
        this.users.set(user.id, user);
        user.start();
      });
    }
  }

  /** An id that no other row has. */
  nextId(): number {
    return ++this.#lastId;
  }

  /** Whether a user's room is beside what the others hold between their turns. */
  fits(user: User): boolean {
    if (user.turns.some((turn) => turn.from !== null)) return true;
    let held = 0;
    for (const other of this.users.values()) held += other === user ? 0 : other.held;
    return user.room + held <= this.scenario.config.kvTokens;
  }

  stay(stay: SlotStay): void {
    this.stays.push(stay);
    this.users.get(stay.sample)!.turn.from = stay.from;
  }

  check(action: RingAction): void {
    if (action.type === "compute") return this.checkFrame(action.segments);
    if (action.type === "head") return;
    const user = this.users.get(action.sample)!;
    switch (action.type) {
      case "open":
        assertEquals(action.capacity, user.capacity);
        user.open = true;
        break;
      case "release":
        assert(user.open, "released without being open");
        assert(user.turn.finished > 0 || this.rejected.has(user.turn), "released before its end");
        user.open = false;
        break;
      case "finish":
        assert(!action.kept || user.plan.keep);
        this.#pending.delete(action.sample);
        user.finish(action.kept, action.cached);
        break;
      case "reject":
        assertEquals(
          action.error.code,
          user.turn.fits ? "busy" : "memory",
        );
        this.rejected.add(user.turn);
        // A rejected chat's caches are still there.
        if (user.turn.first) user.gone = true;
        else user.wait();
    }
  }

  checkFrame(segments: readonly FrameSegment[]): void {
    const { nodes, slots, chunk, decodeFrames = nodes, prefillFrames = nodes } =
      this.scenario.config;
    assert(this.ring.frames < decodeFrames + prefillFrames, "too many frames");
    assert(segments.length <= Math.ceil(slots / decodeFrames), "too many rows in a frame");
    for (const segment of segments) {
      const user = this.users.get(segment.sample)!;
      assert(user.open && user.turn.finished === 0, "rows of a sample that is not running");
      const { turn } = user;
      assertEquals(segment, nextSegment(user.id, turn.next, turn.plan.tokens, chunk));
      turn.next += segment.rows;
      if (segment.wanted === 0) continue;
      assert(!this.#pending.has(segment.sample), "two rows of a sample under way");
      this.#pending.add(segment.sample);
    }
  }

  /** Runs to the end and checks the record. */
  run(): void {
    while (this.ring.clock.next());
    assert(this.ring.empty, "rows or caches are left in the ring");
    assertEquals(this.ring.scheduler.expected, undefined);
    for (const turn of this.asked) {
      assertEquals(turn.finished, this.rejected.has(turn) ? 0 : 1, "every turn ends once");
      if (turn.interrupted || this.rejected.has(turn)) continue;
      assert(turn.drawn === turn.plan.answer || turn.next === turn.capacity, "it ends at its end");
    }
    this.checkSlots();
  }

  checkSlots(): void {
    const { config, samples } = this.scenario;
    const used = new Int32Array(this.ring.steps + 2);
    for (let slot = 0; slot < config.slots; slot++) {
      const stays = this.stays.filter((stay) => stay.slot === slot).sort((a, b) => a.from - b.from);
      stays.forEach((stay, i) => {
        assert(stay.from >= (stays[i - 1]?.to ?? 0), "two samples in one slot");
        for (let step = stay.from; step < stay.to; step++) used[step]!++;
      });
    }
    const ample = config.kvTokens >= samples.length * 60;
    const served = this.asked.filter((turn) => turn.from !== null);
    const queued = served.filter((turn) => ample || turn.first);
    for (let i = 1; i < queued.length; i++) {
      assert(queued[i]!.from! >= queued[i - 1]!.from!, "a sample overtook another");
    }
    if (!ample) return;
    for (const { asked, from } of served) {
      for (let step = asked; step < from!; step++) {
        assertEquals(used[step], config.slots, "a slot idles while a sample waits");
      }
    }
  }
}

Deno.test("createScheduler() keeps its invariants over 2000 random schedules", () => {
  let turns = 0;
  let interrupted = 0;
  let rejected = 0;
  let replaced = 0;
  fc.assert(
    fc.property(scenarios, (scenario) => {
      const world = new World(scenario);
      world.run();
      turns += world.asked.length;
      rejected += world.rejected.size;
      for (const turn of world.asked) {
        if (turn.finished && turn.drawn < turn.plan.answer) interrupted++;
      }
      for (const { turns } of world.users.values()) {
        turns.forEach((turn, i) => {
          const noSlot = turn.from === null && turns.slice(0, i).some(({ from }) => from !== null);
          if (noSlot && turns.slice(i).some(({ from }) => from !== null)) replaced++;
        });
      }
    }),
    { seed: 3, numRuns: 2000 },
  );
  // The schedules are worth something only if all of these happen, often.
  assert(
    turns > 10_000 && interrupted > 1000 && rejected > 500 && replaced > 50,
    `${turns} ${interrupted} ${rejected} ${replaced}`,
  );
});

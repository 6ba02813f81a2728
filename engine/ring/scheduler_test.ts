import { assert, assertEquals, assertThrows } from "@std/assert";
import { MdiError } from "../../wasm/error.ts";
import { VirtualRing } from "./_virtual_ring.ts";
import type { RingAction, RingEvent, SchedulerConfig, SlotStay } from "./schedule.ts";
import { createScheduler } from "./scheduler.ts";

const CONFIG: SchedulerConfig = { nodes: 2, slots: 4, chunk: 32, kvTokens: 1000, queueLimit: 8 };

function submit(sample: number, tokens: number, limit = 10, keep = false): RingEvent {
  return { type: "submit", sample, tokens, capacity: tokens + limit, keep };
}

/** Actions in short: "open 0", "compute 0@0+32 1@5+1!" (a wanted row has the mark), "head 0". */
function brief(action: RingAction): string {
  switch (action.type) {
    case "compute":
      return "compute " +
        action.segments.map(({ sample, position, rows, wanted }) =>
          `${sample}@${position}+${rows}${wanted ? "!" : ""}`
        ).join(" ");
    case "head":
      return "head " + action.rows.map(({ sample, row }) => `${sample}:${row}`).join(" ");
    case "open":
      return `open ${action.sample} ${action.capacity}`;
    case "truncate":
      return `truncate ${action.sample} ${action.length}`;
    case "finish":
      return `finish ${action.sample}${action.kept ? " kept" : ""}`;
    case "reject":
      return `reject ${action.sample} ${action.error.code}`;
    case "release":
      return `release ${action.sample}`;
  }
}

/** A scheduler whose actions come in short. */
function make(config: Partial<SchedulerConfig> = {}) {
  const scheduler = createScheduler({ ...CONFIG, ...config });
  return (event: RingEvent | "computed" | "returned") =>
    scheduler.step(typeof event === "string" ? { type: event } : event).map(brief);
}

function drawn(...ended: number[]): RingEvent {
  return { type: "drawn", ended };
}

Deno.test("createScheduler() takes a sample from prompt to end", () => {
  const step = make({ nodes: 1 });
  assertEquals(step(submit(0, 3)), ["open 0 13", "compute 0@0+3!"]);
  assertEquals(step("computed"), []);
  assertEquals(step("returned"), ["head 0:0"]);
  assertEquals(step(drawn()), ["compute 0@3+1!"]);
  assertEquals(step("returned"), ["head 0:0"]);
  assertEquals(step("computed"), []);
  assertEquals(step(drawn(0)), ["finish 0", "release 0"]);
});

Deno.test("createScheduler() sends a prompt's chunks one behind the other", () => {
  const step = make({ nodes: 3 });
  assertEquals(step(submit(0, 70)), ["open 0 80", "compute 0@0+32"]);
  assertEquals(step("computed"), ["compute 0@32+32"]);
  assertEquals(step("computed"), ["compute 0@64+6!"]);
  assertEquals(step("computed"), []);
  assertEquals(step("returned"), []);
  assertEquals(step("returned"), []);
  assertEquals(step("returned"), ["head 0:0"]);
});

Deno.test("createScheduler() has no more prefill chunks in the ring than it is told", () => {
  const step = make({ prefillFrames: 2 });
  step(submit(0, 200));
  assertEquals(step("computed"), ["compute 0@32+32"]);
  assertEquals(step("computed"), []);
  assertEquals(step("returned"), ["compute 0@64+32"]);
});

Deno.test("createScheduler() alternates between decode and prefill", () => {
  const step = make();
  step(submit(0, 1));
  step(submit(1, 1));
  step("computed");
  step("computed");
  step("returned");
  step("returned");
  assertEquals(step(submit(2, 96)), ["open 2 106", "compute 2@0+32"]);
  step(drawn());
  step(drawn());
  assertEquals(step("computed"), ["compute 0@1+1!"]);
  assertEquals(step("computed"), ["compute 2@32+32"]);
  assertEquals(step("computed"), ["compute 1@1+1!"]);
});

Deno.test("createScheduler() spreads samples over frames and mends the groups", () => {
  const frames: string[] = [];
  const ring = new VirtualRing({
    config: CONFIG,
    forwardMs: () => 1,
    headMs: () => 0,
    latencyMs: () => 0,
    onHead: () => () => false,
    onAction: (action) => action.type === "compute" && frames.push(brief(action)),
  });
  // They come one by one, so each starts in a frame of its own.
  for (let sample = 0; sample < 4; sample++) {
    ring.clock.after(sample * 20, () => ring.tell(submit(sample, 1, 200)));
  }
  while (ring.clock.now() < 100) ring.clock.next();
  const last = frames.slice(-20).map((frame) => frame.replaceAll(/@\d+/g, ""));
  assertEquals(new Set(last).size, 2, last.join("; "));
  for (const frame of last) assertEquals(frame.split("!").length - 1, 2, frame);
});

Deno.test("createScheduler() leaves no slot idle between five samples over two slots", () => {
  const stays: SlotStay[] = [];
  const lengths = [5, 11, 3, 9, 12];
  const drawn = lengths.map(() => 0);
  const ring = new VirtualRing({
    config: { ...CONFIG, slots: 2, observe: (stay) => stays.push(stay) },
    forwardMs: (_, rows) => rows,
    headMs: () => 1,
    latencyMs: () => 1,
    onHead: (sample) => () => ++drawn[sample]! >= lengths[sample]!,
    onAction: () => {},
  });
  lengths.forEach((length, sample) => ring.tell(submit(sample, 4 + sample, length)));
  while (ring.clock.next());
  assertEquals(drawn, lengths);
  assertEquals(stays.map(({ sample }) => sample).sort(), [0, 1, 2, 3, 4]);
  for (const slot of [0, 1]) {
    const own = stays.filter((stay) => stay.slot === slot);
    assert(own.length >= 2);
    for (let i = 1; i < own.length; i++) assertEquals(own[i]!.from, own[i - 1]!.to);
  }
});

Deno.test("createScheduler() holds a sample back until there is room, and nobody passes it", () => {
  const step = make({ kvTokens: 100, prefillFrames: 3 });
  assertEquals(step(submit(0, 50)), ["open 0 60", "compute 0@0+32"]);
  step(submit(1, 50));
  step(submit(2, 5));
  assertEquals(step("computed"), ["compute 0@32+18!"]);
  assertEquals(step({ type: "cancel", sample: 0 }), ["finish 0"]);
  // The release goes behind the frame that is being computed; the node meets it before the opens.
  assertEquals(step("computed"), ["release 0", "open 1 60", "open 2 15", "compute 1@0+32"]);
});

Deno.test("createScheduler() lets a chat go on while another sample waits for room", () => {
  const step = make({ nodes: 1, kvTokens: 100, prefillFrames: 3 });
  step(submit(0, 10, 10, true));
  step("computed");
  step("returned");
  assertEquals(step(drawn(0)), ["finish 0 kept"]);
  assertEquals(step(submit(1, 20)), ["open 1 30", "compute 1@0+20!"]);
  step("computed");
  assertEquals(step(submit(2, 50)), []);
  assertEquals(step({ type: "continue", sample: 0, length: 10, tokens: 12 }), ["compute 0@10+2!"]);
  step("computed");
  assertEquals(step({ type: "cancel", sample: 1 }), [
    "finish 1",
    "release 1",
    "open 2 60",
    "compute 2@0+32",
  ]);
});

Deno.test("createScheduler() rejects what would wait for room that chats keep", () => {
  const scheduler = createScheduler({ ...CONFIG, nodes: 1, kvTokens: 100 });
  const step = (event: RingEvent) => scheduler.step(event).map(brief);
  step(submit(0, 10, 50, true));
  assertEquals(step(submit(1, 40)), ["reject 1 memory"], "its turn's end does not free the room");
  step({ type: "computed" });
  step({ type: "returned" });
  assertEquals(step(drawn(0)), ["finish 0 kept"]);
  const [action] = scheduler.step(submit(2, 40));
  if (action?.type !== "reject") throw new Error("not rejected");
  assertEquals(
    action.error.message,
    "Cannot take sample 2: it needs a cache of 50 tokens, and of the 100 that the ring holds " +
      "conversations keep 60; end one or add a node",
  );
  assertEquals(step(submit(3, 10, 10, true)), ["open 3 20", "compute 3@0+10!"]);
  // What a chat that waits will keep counts too; once it is stopped before it has any, no more.
  step(submit(4, 5, 5));
  assertEquals(step(submit(5, 10, 10, true)), [], "it waits for sample 4 to end");
  assertEquals(step(submit(6, 5, 5)), ["reject 6 memory"]);
  assertEquals(step({ type: "stop", sample: 5 }), ["finish 5 kept"]);
  assertEquals(step(submit(7, 5, 5)), []);
});

Deno.test("createScheduler() truncates to what a turn without a slot left valid", () => {
  const step = make({ nodes: 1, slots: 1, prefillFrames: 2 });
  step(submit(0, 8, 50, true));
  step("computed");
  step("returned");
  assertEquals(step(drawn(0)), ["finish 0 kept"]);
  step(submit(1, 4));
  step({ type: "continue", sample: 0, length: 3, tokens: 12 });
  assertEquals(step({ type: "stop", sample: 0 }), ["finish 0 kept"]);
  step("computed");
  step({ type: "cancel", sample: 1 });
  assertEquals(step({ type: "continue", sample: 0, length: 10, tokens: 12 }), [
    "truncate 0 3",
    "compute 0@3+9!",
  ]);
});

Deno.test("createScheduler() rejects what can never fit and what finds the queue full", () => {
  const scheduler = createScheduler({ ...CONFIG, slots: 1, kvTokens: 100, queueLimit: 1 });
  const [memory] = scheduler.step(submit(0, 91));
  if (memory?.type !== "reject") throw new Error("not rejected");
  assertEquals(memory.error.code, "memory");
  assertEquals(
    memory.error.message,
    "Cannot take sample 0: it needs a cache of 101 tokens and the ring holds 100; " +
      "ask for fewer tokens or add a node",
  );
  assertEquals(scheduler.step(submit(1, 5)).map(brief), ["open 1 15", "compute 1@0+5!"]);
  assertEquals(scheduler.step(submit(2, 5)), []);
  assertEquals(scheduler.step(submit(3, 5)).map(brief), ["reject 3 busy"]);
  // It is as if the rejected had never come.
  assertEquals(scheduler.step({ type: "cancel", sample: 3 }), []);
});

Deno.test("createScheduler() pauses a chat and goes on from the common prefix", () => {
  const step = make({ nodes: 1, slots: 1, chunk: 8 });
  step(submit(0, 5, 50, true));
  step("computed");
  step("returned");
  assertEquals(step(drawn()), ["compute 0@5+1!"]);
  step("computed");
  step("returned");
  assertEquals(step(drawn(0)), ["finish 0 kept"]);
  // All 7 ids are common, but the last was never sent. Chunks end at multiples of 8.
  assertEquals(step({ type: "continue", sample: 0, length: 7, tokens: 18 }), ["compute 0@6+2"]);
  step("returned");
  assertEquals(step("computed"), ["compute 0@8+8"]);
  step("returned");
  assertEquals(step("computed"), ["compute 0@16+2!"]);
  step("returned");
  step("computed");
  assertEquals(step(drawn(0)), ["finish 0 kept"]);
  const again = step({ type: "continue", sample: 0, length: 3, tokens: 3 });
  assertEquals(again, ["truncate 0 2", "compute 0@2+1!"]);
  assertEquals(step({ type: "cancel", sample: 0 }), ["finish 0"]);
  assertEquals(step("computed"), ["release 0"]);
});

Deno.test("createScheduler() ignores rows of a turn that was stopped", () => {
  const step = make();
  step(submit(0, 40, 50, true));
  assertEquals(step({ type: "stop", sample: 0 }), ["finish 0 kept"]);
  assertEquals(step("computed"), []);
  const next = step({ type: "continue", sample: 0, length: 20, tokens: 30 });
  assertEquals(next, ["truncate 0 20", "compute 0@20+10!"]);
  step("computed");
  assertEquals(step("returned"), [], "the first turn's chunk");
  assertEquals(step("returned"), ["head 0:0"]);
  assertEquals(step({ type: "stop", sample: 0 }), ["finish 0 kept"]);
  assertEquals(step(drawn(0)), [], "its token comes too late");
});

Deno.test("createScheduler() pauses a chat that is stopped while it waits", () => {
  const step = make({ nodes: 1, slots: 1 });
  step(submit(0, 4));
  step(submit(1, 4, 10, true));
  assertEquals(step({ type: "stop", sample: 1 }), ["finish 1 kept"]);
  step({ type: "continue", sample: 1, length: 4, tokens: 6 });
  step("computed");
  assertEquals(step({ type: "cancel", sample: 0 }), ["finish 0", "release 0", "open 1 14"]);
  assertEquals(step("returned"), ["compute 1@0+6!"]);
});

Deno.test("createScheduler() drops a cancelled sample's row out of its frame", () => {
  const step = make({ nodes: 1, prefillFrames: 2 });
  step(submit(0, 1));
  step(submit(1, 1));
  step("computed");
  step("computed");
  step("returned");
  step("returned");
  assertEquals(step(drawn()), ["compute 0@1+1!"]);
  step(drawn());
  step("computed");
  step("returned");
  assertEquals(step(drawn()), ["compute 1@1+1! 0@2+1!"]);
  assertEquals(step({ type: "cancel", sample: 1 }), ["finish 1"]);
  assertEquals(step("computed"), ["release 1"]);
  assertEquals(step("returned"), ["head 0:1"]);
});

Deno.test("createScheduler() ends a sample whose cache is full", () => {
  const step = make({ nodes: 1 });
  step(submit(0, 4, 0));
  step("computed");
  step("returned");
  assertEquals(step(drawn()), ["finish 0", "release 0"]);
});

Deno.test("createScheduler() refuses what breaks the contract and stays as it was", () => {
  const scheduler = createScheduler(CONFIG);
  scheduler.step(submit(7, 4));
  const wrong: RingEvent[] = [
    submit(7, 4),
    submit(3, 4),
    submit(8.5, 4),
    submit(2 ** 32, 4),
    submit(8, 0),
    submit(8, NaN),
    submit(8, 4, -1),
    { type: "continue", sample: 7, length: 0, tokens: 4 },
    { type: "continue", sample: 8, length: 0, tokens: 4 },
    { type: "drawn", ended: [] },
  ];
  for (const event of wrong) assertThrows(() => scheduler.step(event), RangeError, "Cannot");
  assertEquals(scheduler.expected, [{ sample: 7, position: 0, rows: 4, wanted: 1 }]);
  scheduler.step({ type: "computed" });
  assertThrows(() => scheduler.step({ type: "computed" }), RangeError, "no compute");
  assertEquals(scheduler.step({ type: "returned" }).map(brief), ["head 7:0"]);
  const error = assertThrows(() => scheduler.step({ type: "returned" }), MdiError);
  assertEquals(error.code, "protocol");
  assertEquals(scheduler.step(drawn()).map(brief), ["compute 7@4+1!"]);
});

Deno.test("createScheduler() refuses a config that is none", () => {
  for (
    const wrong of [
      { nodes: 0 },
      { nodes: 17 },
      { slots: 0 },
      { chunk: 0 },
      { kvTokens: -1 },
      {
        queueLimit: NaN,
      },
      { decodeFrames: 0 },
      { prefillFrames: 1.5 },
    ]
  ) {
    assertThrows(() => createScheduler({ ...CONFIG, ...wrong }), RangeError, Object.keys(wrong)[0]);
  }
});

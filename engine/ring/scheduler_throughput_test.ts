/** How busy the scheduler keeps a ring, under the virtual clock. */
import { assert } from "@std/assert";
import { VirtualRing } from "./_virtual_ring.ts";
import type { SchedulerConfig } from "./schedule.ts";

/** A ring to be measured. A stage's time is `frameMs + rowMs · rows`. */
interface Load {
  nodes: number;
  samples: number;
  /** How many times slower than the others a node is. */
  slow?: { node: number; times: number };
  linkMs?: number;
  config?: Partial<SchedulerConfig>;
  /** Tokens of a sample's answer; endless where it is missing. */
  answer?: (sample: number) => number;
  /** Tokens of its prompt. */
  prompt?: (sample: number) => number;
  frameMs?: number;
  rowMs?: number;
}

/** What a run gave. */
interface Result {
  /** Fraction of the time that each node computed, once warm. */
  busy: number[];
  /** Of all samples, once warm. */
  tokensPerSecond: number;
}

/** Runs warm, then measures. */
function measure(load: Load): Result {
  const { nodes, samples, linkMs = 0.02, frameMs = 6, rowMs = 4 } = load;
  const drawn = new Map<number, number>();
  let tokens = 0;
  let next = 0;
  const stage = (node: number, rows: number) =>
    (frameMs + rowMs * rows) * (node === load.slow?.node ? load.slow.times : 1);
  const ring = new VirtualRing({
    config: {
      nodes,
      slots: samples,
      chunk: 32,
      kvTokens: 1e9,
      queueLimit: 100_000,
      ...load.config,
    },
    // On the starter, head takes half of the stage's time.
    forwardMs: (node, rows) => stage(node, rows) * (node === 0 ? 0.5 : 1),
    headMs: (rows) => stage(0, rows) * 0.5,
    latencyMs: () => linkMs,
    onHead: (sample) => () => {
      tokens++;
      drawn.set(sample, (drawn.get(sample) ?? 0) + 1);
      return drawn.get(sample)! >= (load.answer?.(sample) ?? Infinity);
    },
    onAction: (action) => {
      if (action.type === "finish") submit();
    },
  });
  function submit() {
    const sample = next++;
    ring.tell({
      type: "submit",
      sample,
      tokens: load.prompt?.(sample) ?? 3,
      capacity: 100_000,
    });
  }
  for (let i = 0; i < samples; i++) submit();
  const round = nodes * stage(load.slow?.node ?? 0, Math.ceil(samples / nodes));
  while (ring.clock.now() < 20 * round) ring.clock.next();
  const start = ring.clock.now();
  const before = ring.nodes.map((node) => node.busyMs);
  tokens = 0;
  while (ring.clock.now() < 120 * round) ring.clock.next();
  const ms = ring.clock.now() - start;
  const busy = ring.nodes.map((node, i) => (node.busyMs - before[i]!) / ms);
  return { busy, tokensPerSecond: tokens / ms * 1000 };
}

for (const nodes of [1, 2, 3, 4, 8, 16]) {
  for (const times of [1, 2, 4]) {
    const samples = nodes * times;
    Deno.test(`createScheduler() keeps ${nodes} equal nodes busy with ${samples} samples`, () => {
      const { busy, tokensPerSecond } = measure({ nodes, samples });
      for (const fraction of busy) assert(fraction >= 0.95, `busy ${busy.map(percent).join(" ")}`);
      const bound = times / (6 + 4 * times) * 1000;
      assert(tokensPerSecond >= 0.95 * bound, `${tokensPerSecond} of ${bound} tokens/s`);
    });
  }
}

Deno.test("createScheduler() keeps the slowest node busy, wherever it is", () => {
  for (const nodes of [2, 3, 8]) {
    for (const node of [0, 1, nodes - 1]) {
      for (const samples of [nodes, 2 * nodes + 1]) {
        const { busy } = measure({ nodes, samples, slow: { node, times: 2.5 } });
        assert(busy[node]! >= 0.95, `${nodes} nodes, slow ${node}: ${busy.map(percent).join(" ")}`);
      }
    }
  }
});

Deno.test("createScheduler() keeps frames full while samples come and go", () => {
  const answer = (sample: number) => 60 + (sample * 37) % 80;
  const steady = measure({ nodes: 4, samples: 16 });
  const changing = measure({ nodes: 4, samples: 16, answer });
  const share = changing.tokensPerSecond / steady.tokensPerSecond;
  assert(share >= 0.93, `${percent(share)} of the tokens/s of endless samples`);
});

Deno.test("createScheduler() hides slow links behind more frames", () => {
  const load = { nodes: 2, samples: 8, linkMs: 20, frameMs: 0, rowMs: 10 };
  const few = measure(load);
  const more = measure({ ...load, config: { decodeFrames: 8 } });
  assert(few.busy[0]! < 0.75, percent(few.busy[0]!));
  assert(more.busy[0]! >= 0.95, percent(more.busy[0]!));
});

Deno.test("createScheduler() lets tokens pass a long prompt", () => {
  let prompts = 0;
  const load: Load = { nodes: 2, samples: 3, prompt: () => prompts++ === 2 ? 50_000 : 3 };
  // A chunk of 32 rows takes 134 ms at a node; each lets a decode frame through.
  const { tokensPerSecond } = measure(load);
  assert(tokensPerSecond >= 0.9 * 1000 / 144, `${tokensPerSecond} tokens/s`);
});

function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`;
}

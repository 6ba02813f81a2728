import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { cpuUsage } from "node:process";
import fc from "fast-check";
import { MdiError } from "../../wasm/error.ts";
import { testRing, testRings } from "./_problems.ts";
import { ringCost, shareFrames } from "./cost.ts";
import { simulate, type SimulateOptions, type Simulation } from "./simulate.ts";
import { busyFraction, steadyWindow, tokensPerSecond } from "./timeline.ts";

/** Long answers to short prompts: what happens at both ends does not count. */
function steadySpeed(ring: Parameters<typeof testRing>[0], rows: number): number {
  const { problem, plan } = testRing(ring);
  const { frames } = shareFrames(ring.samples, rows);
  // Credits are none of the cost model's business; see below for what they cost.
  const work = { samples: ring.samples, promptTokens: 4, tokens: 300, record: false, credits: 64 };
  return simulate(problem, { ...plan, decodeFrames: frames }, work).totals.steady!.tokensPerSecond;
}

Deno.test("simulate() gives the cost model's tokens/s where all frames have as many rows", () => {
  fc.assert(
    fc.property(testRings, fc.nat(), (ring, choice) => {
      const divisors = Array.from({ length: ring.samples }, (_, i) => i + 1)
        .filter((rows) => ring.samples % rows === 0);
      const rows = divisors[choice % divisors.length]!;
      const { problem, plan } = testRing(ring);
      const predicted = ringCost(problem, plan.order, plan.counts, rows).tokensPerSecond;
      assertRatio(steadySpeed(ring, rows) / predicted, 0.99, 1.01);
    }),
    { numRuns: 200, seed: 5 },
  );
});

Deno.test("simulate() is never below the cost model, and above it only as the last frame fills up", () => {
  fc.assert(
    fc.property(testRings, fc.nat(), (ring, choice) => {
      const { rows } = shareFrames(ring.samples, 1 + choice % ring.samples);
      const { problem, plan } = testRing(ring);
      const cost = ringCost(problem, plan.order, plan.counts, rows);
      // Rows that wait at a busy starter make the shorter frames as long as the others.
      const full = rows * 1000 / cost.stageMs[0]!;
      const atStarter = cost.busiest.kind === "node" && cost.busiest.index === 0;
      const most = atStarter ? Math.max(full, cost.tokensPerSecond) : cost.tokensPerSecond;
      const got = steadySpeed(ring, rows);
      assert(got >= 0.99 * cost.tokensPerSecond, `${got} of ${cost.tokensPerSecond}`);
      assert(got <= 1.02 * most, `${got} of ${cost.tokensPerSecond}, at most ${most}`);
    }),
    { numRuns: 200, seed: 6 },
  );
});

const THREE = testRing({
  nodes: [
    { layers: 2, layerMs: 3, embedMs: 0.2, headMs: 4 },
    { layers: 4, layerMs: 3 },
    { layers: 3, layerMs: 3 },
  ],
  samples: 6,
  rttMs: 2,
  mbit: 100,
  rowShare: 0.3,
});
const WORK: SimulateOptions = {
  samples: 40,
  promptTokens: { min: 3, max: 70 },
  tokens: { min: 10, max: 60 },
  perSecond: 8,
  jitterMs: 1,
  loss: 0.02,
  seed: 7n,
};

Deno.test("simulate() gives the same run for the same seed and another for another", () => {
  const first = simulate(THREE.problem, THREE.plan, WORK);
  assertEquals(simulate(THREE.problem, THREE.plan, WORK), first);
  const other = simulate(THREE.problem, THREE.plan, { ...WORK, seed: 8n });
  assert(other.timeline.ms !== first.timeline.ms);
});

Deno.test("simulate() does not depend on whether it is recorded", () => {
  const { totals } = simulate(THREE.problem, THREE.plan, WORK);
  const { timeline, totals: bare } = simulate(THREE.problem, THREE.plan, {
    ...WORK,
    record: false,
  });
  assertEquals(bare, totals);
  assert(timeline.nodes.every(({ busy }) => busy.length === 0));
  assert(timeline.links.every(({ frames }) => frames.length === 0));
});

Deno.test("simulate() draws every token of every sample, in monotone timelines", () => {
  fc.assert(
    fc.property(testRings, fc.nat(1000), fc.boolean(), (ring, seed, rough) => {
      const { problem, plan } = testRing(ring);
      const { timeline, totals } = simulate(problem, plan, {
        samples: 2 * ring.samples,
        promptTokens: { min: 1, max: 80 },
        tokens: { min: 1, max: 12 },
        seed: BigInt(seed),
        ...(rough && { jitterMs: 3, loss: 0.05, perSecond: 5 }),
      });
      assertEquals(totals.lost, []);
      assertEquals(timeline.samples.length, 2 * ring.samples);
      assertTimeline({ timeline, totals });
    }),
    { numRuns: 60, seed: 3 },
  );
});

function assertTimeline({ timeline, totals }: Simulation): void {
  const { nodes, links, samples, ms } = timeline;
  for (const { busy } of nodes) {
    let at = 0;
    for (const { from, to } of busy) {
      assert(from >= at - 1e-6 && to >= from, `busy ${from} to ${to} after ${at}`);
      at = to;
    }
  }
  for (const { frames } of links) {
    let sentAt = 0;
    let arrivedAt = 0;
    for (const { sent, arrived } of frames) {
      assert(sent >= sentAt && arrived >= arrivedAt && arrived >= sent);
      [sentAt, arrivedAt] = [sent, arrived];
    }
  }
  let tokens = 0;
  for (const { tokens: times, slot } of samples) {
    assert(slot.from <= slot.to && slot.to <= ms + 1e-6);
    times.forEach((at, i) => assert(at >= (times[i - 1] ?? slot.from)));
    tokens += times.length;
  }
  assertEquals(tokens, totals.tokens);
  assertAlmostEquals(
    totals.tokensPerSecond,
    tokensPerSecond(timeline, { from: 0, to: ms + 1 }) * (ms + 1) / ms,
  );
}

Deno.test("simulate() adds busy fractions up as its timeline does", () => {
  const { timeline, totals } = simulate(THREE.problem, THREE.plan, { ...WORK, samples: 200 });
  const window = steadyWindow(timeline, 6)!;
  assertEquals({ from: totals.steady!.from, to: totals.steady!.to }, window);
  timeline.nodes.forEach((node, i) => {
    const { busyFraction: share, busyMs } = totals.nodes[i]!;
    assertAlmostEquals(busyFraction(node, window), share, 1e-9);
    assertAlmostEquals(node.busy.reduce((sum, { from, to }) => sum + to - from, 0), busyMs, 1e-6);
  });
  // What a token costs each node, times the tokens, is what it was busy for.
  const { problem, plan } = testRing({
    nodes: [{ layers: 2, layerMs: 3, headMs: 4 }, { layers: 4, layerMs: 3 }],
    samples: 4,
  });
  const { totals: { steady, nodes } } = simulate(problem, plan, {
    samples: 4,
    promptTokens: 1,
    tokens: 400,
    record: false,
  });
  assertAlmostEquals(nodes[0]!.busyFraction, steady!.tokensPerSecond * 10 / 1000, 0.005);
  assertAlmostEquals(nodes[1]!.busyFraction, 1, 0.005);
});

Deno.test("simulate() keeps the slowest node busy while prompts come, with a chunk for each node", () => {
  for (const nodes of [2, 4, 8, 16]) {
    const { problem, plan } = testRing({
      nodes: Array.from({ length: nodes }, (_, i) => ({
        layers: 4,
        layerMs: i === 1 ? 2.5 : 2,
      })),
      samples: 4 * nodes,
      rttMs: 1,
      rowShare: 0.35,
    });
    const busiest = (prefillFrames: number) => {
      const frames = { ...plan, decodeFrames: nodes, prefillFrames };
      const work = { samples: 20 * nodes, promptTokens: 64, tokens: 128, record: false };
      return simulate(problem, frames, work).totals.nodes[1]!.busyFraction;
    };
    assert(busiest(nodes) >= 0.95, `${nodes} nodes: ${busiest(nodes)}`);
    assert(busiest(1) < busiest(nodes));
  }
});

Deno.test("simulate() finds the slow link", () => {
  const { problem, plan } = testRing({
    nodes: [{ layers: 2, layerMs: 1 }, { layers: 2, layerMs: 1 }],
    samples: 4,
    mbit: 2,
  });
  const framed = { ...plan, decodeFrames: 4 };
  const { totals } = simulate(problem, framed, { samples: 4, promptTokens: 1, tokens: 200 });
  assertEquals(totals.bottleneck.kind, "link");
  // 2368 bytes at 2 Mbit/s.
  assertAlmostEquals(totals.steady!.tokensPerSecond, 1000 / 9.472, 1);
});

Deno.test("simulate() shows what a link's credits cost where it is long and stages are short", () => {
  const { problem, plan } = testRing({
    nodes: [{ layers: 1, layerMs: 0.5 }, { layers: 1, layerMs: 0.5 }],
    samples: 32,
    rttMs: 40,
  });
  const speed = (credits: number) => {
    const work = { samples: 32, promptTokens: 1, tokens: 300, record: false, credits };
    return simulate(problem, { ...plan, decodeFrames: 32 }, work).totals.steady!.tokensPerSecond;
  };
  assertRatio(speed(64) / ringCost(problem, [0, 1], [1, 1], 1).tokensPerSecond, 0.99, 1.01);
  // 16 of them in a round trip, at the very most.
  assert(speed(16) <= 16 * 1000 / 40);
});

Deno.test("simulate() says where there are too few samples for any node", () => {
  const { problem, plan } = testRing({
    nodes: [{ layers: 2, layerMs: 1 }, { layers: 2, layerMs: 1 }],
    samples: 1,
    rttMs: 20,
  });
  const { totals } = simulate(problem, plan, { samples: 1, promptTokens: 1, tokens: 50 });
  assertEquals(totals.bottleneck.kind, "samples");
  assertAlmostEquals(totals.steady!.tokensPerSecond, 1000 / 24, 1);
});

Deno.test("simulate() is slowed by loss and jitter, and not by a lossless link of the same speed", () => {
  const { problem, plan } = testRing({
    nodes: [{ layers: 4, layerMs: 2 }, { layers: 4, layerMs: 2 }],
    samples: 4,
    rttMs: 4,
    mbit: 100,
  });
  const speed = (options: Partial<SimulateOptions>) =>
    simulate(problem, plan, {
      samples: 4,
      promptTokens: 4,
      tokens: 500,
      ...options,
    }).totals.tokensPerSecond;
  const clean = speed({});
  assertEquals(speed({ jitterMs: 0, loss: 0, seed: 9n }), clean);
  assert(speed({ jitterMs: 4 }) < clean);
  assert(speed({ loss: 0.01 }) < 0.99 * clean, `${speed({ loss: 0.01 })} of ${clean}`);
});

Deno.test("simulate() shows a device that throttles", () => {
  const { problem, plan } = testRing({
    nodes: [{ layers: 3, layerMs: 2 }, { layers: 3, layerMs: 2 }],
    samples: 4,
  });
  const work = { samples: 4, promptTokens: 4, tokens: 2000 };
  for (
    const throttle of [
      { node: 1, atMs: 5000, factor: 3 },
      { node: 1, atMs: 5000, periodMs: 3, share: 1 / 3 },
    ]
  ) {
    const { timeline } = simulate(problem, plan, { ...work, throttles: [throttle] });
    const before = tokensPerSecond(timeline, { from: 1000, to: 5000 });
    const after = tokensPerSecond(timeline, { from: 6000, to: 12_000 });
    assertAlmostEquals(before, 1000 / 6, 2);
    assertAlmostEquals(after, 1000 / 18, 2);
  }
});

Deno.test("simulate() says what is lost with a device that dies, and when", () => {
  const work = { samples: 30, promptTokens: 4, tokens: { min: 50, max: 150 }, slots: 6 };
  for (const node of [0, 1, 2]) {
    const deaths = [{ node, atMs: 6000 }];
    const run = simulate(THREE.problem, THREE.plan, { ...work, deaths });
    assertTimeline(run);
    const { timeline, totals } = run;
    assert(timeline.ms <= 6000 + 100, `${timeline.ms} ms`);
    assert(totals.lost.length > 0 && totals.lost.length < 30);
    for (const { sample, tokens } of timeline.samples) {
      if (!totals.lost.includes(sample)) assert(tokens.length >= 50);
    }
    assert(timeline.nodes[node]!.busy.every(({ to }) => to <= 6000));
  }
  const none = simulate(THREE.problem, THREE.plan, { ...work, deaths: [{ node: 2, atMs: 1e9 }] });
  assertEquals(none.totals.lost, []);
});

Deno.test("simulate() takes no samples into a ring that is broken", () => {
  const { totals, timeline } = simulate(THREE.problem, THREE.plan, {
    samples: 1000,
    promptTokens: 4,
    tokens: 10,
    perSecond: 5,
    deaths: [{ node: 1, atMs: 4000 }],
  });
  assert(timeline.samples.length < 50 && totals.lost.length > 0);
});

Deno.test("simulate() takes 5,000 samples in seconds", () => {
  const before = cpuUsage();
  const { totals } = simulate(THREE.problem, THREE.plan, {
    samples: 5000,
    promptTokens: { min: 5, max: 100 },
    tokens: { min: 20, max: 100 },
    record: false,
  });
  assertEquals(totals.lost, []);
  assert(totals.tokens > 250_000);
  // Half a second; of CPU time, as others run beside it.
  const { user, system } = cpuUsage(before);
  assert(user + system < 4e6, `${(user + system) / 1000} ms`);
});

Deno.test("simulate() refuses what memory does not allow", () => {
  const memory = (memoryBytes: number) => {
    const { problem, plan } = testRing({
      nodes: [{ layers: 2, layerMs: 1 }, { layers: 2, layerMs: 1 }],
      samples: 2,
      memoryBytes,
    });
    return assertThrows(
      () => simulate(problem, plan, { samples: 2, promptTokens: 50, tokens: 50 }),
      MdiError,
    );
  };
  const weights = memory(5000);
  assertEquals(weights.code, "memory");
  assert(weights.message.includes("node-0 would hold"), weights.message);
  const caches = memory(7000);
  assertEquals(caches.code, "memory");
  assert(caches.message.includes("room for 50"), caches.message);
});

Deno.test("simulate() waits for room where caches are short of it", () => {
  const { problem, plan } = testRing({
    nodes: [{ layers: 2, layerMs: 1 }, { layers: 2, layerMs: 1 }],
    samples: 4,
    memoryBytes: 6000 + 20 * 100,
  });
  const { timeline } = simulate(problem, plan, { samples: 4, promptTokens: 50, tokens: 50 });
  // One cache fits at a time.
  const slots = timeline.samples.map(({ slot }) => slot);
  slots.slice(1).forEach((slot, i) => assert(slot.from >= slots[i]!.to));
  assertEquals(timeline.nodes[0]!.kvBytes, 2000);
});

Deno.test("simulate() refuses numbers that make no sense", () => {
  const { problem, plan } = THREE;
  const work = { samples: 1, promptTokens: 1, tokens: 1 };
  const wrong: [Partial<typeof plan>, Partial<SimulateOptions>][] = [
    [{ order: [1, 0, 2] }, {}],
    [{ order: [0, 1, 1] }, {}],
    [{ order: [0, 1, 3] }, {}],
    [{ counts: [2, 4, 4] }, {}],
    [{ counts: [2, 4] }, {}],
    [{ counts: [-1, 7, 3] }, {}],
    [{ decodeFrames: 0 }, {}],
    [{}, { samples: 0 }],
    [{}, { slots: 0 }],
    [{}, { promptTokens: 0 }],
    [{}, { tokens: { min: 3, max: 2 } }],
    [{}, { tokens: 1.5 }],
    [{}, { perSecond: 0 }],
    [{}, { jitterMs: -1 }],
    [{}, { loss: 1 }],
    [{}, { stallMs: -1 }],
    [{}, { credits: 0 }],
    [{}, { throttles: [{ node: 0, atMs: 0, factor: 0 }] }],
    [{}, { throttles: [{ node: 0, atMs: 0, periodMs: 5, share: 0 }] }],
    [{}, { deaths: [{ node: 0, atMs: -1 }] }],
  ];
  for (const [other, options] of wrong) {
    assertThrows(
      () => simulate(problem, { ...plan, ...other }, { ...work, ...options }),
      RangeError,
      "Cannot s",
    );
  }
});

function assertRatio(ratio: number, least: number, most: number): void {
  assert(ratio >= least && ratio <= most, `ratio ${ratio}`);
}

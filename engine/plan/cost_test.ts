import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import { randomProblem } from "./_random_problem.ts";
import { ringCost, rowChoices, shareFrames, timePerToken } from "./cost.ts";
import type { PlanProblem } from "./problem.ts";

const once = (ms: number) => ({ rows: [1], ms: [ms] });

/** Two devices, links of 8 ms round trip and 8 Mbit/s: 1000 bytes take 1 ms. */
const PAIR: PlanProblem = {
  model: {
    layers: 10,
    layerBytes: 100,
    kvBytesPerTokenLayer: 2,
    embedBytes: 7,
    headBytes: 11,
    rowBytes: 1000,
  },
  nodes: [
    { name: "a", memoryBytes: 1e9, layer: once(2), embed: once(1), head: once(3) },
    { name: "b", memoryBytes: 1e9, layer: once(4), embed: once(2), head: once(6) },
  ],
  link: () => ({ rttMs: 8, mbit: 8 }),
  samples: 2,
  context: 10,
  goal: "throughput",
};

Deno.test("ringCost() is the formula by hand", () => {
  const cost = ringCost(PAIR, [0, 1], [6, 4], 1);
  assertEquals(cost.stageMs, [6 * 2 + 1 + 3, 4 * 4]);
  assertEquals(cost.occupancyMs, cost.stageMs);
  assertEquals([cost.linkMs, cost.linkOccupancyMs], [[5, 5], [1, 1]]);
  assertEquals(cost.lapMs, 16 + 16 + 5 + 5);
  // Two samples: a lap of 42 ms brings two tokens, slower than one every 16 ms.
  assertEquals([cost.tokensPerSecond, cost.bottleneck], [2000 / 42, { kind: "samples", index: 0 }]);
  const full = ringCost({ ...PAIR, samples: 3 }, [0, 1], [6, 4], 1);
  assertEquals([full.tokensPerSecond, full.bottleneck], [1000 / 16, { kind: "node", index: 0 }]);
  assertEquals(cost.memoryBytes, [18 + 6 * (100 + 40), 4 * (100 + 40)]);
});

Deno.test("ringCost() knows no link in a ring of one, and names a link that is busiest", () => {
  const alone = ringCost(PAIR, [0], [10], 1);
  assertEquals([alone.linkMs, alone.lapMs], [[], 24]);
  assertEquals(alone.bottleneck, { kind: "node", index: 0 });
  const link = (from: number) => ({ rttMs: 0, mbit: from === 1 ? 0.1 : Infinity });
  const slow = ringCost({ ...PAIR, link, samples: 50 }, [0, 1], [6, 4], 1);
  assertEquals([slow.bottleneck, slow.tokensPerSecond], [{ kind: "link", index: 1 }, 12.5]);
  assertEquals(slow.linkOccupancyMs[0], 0);
});

Deno.test("ringCost() takes measured times of more rows, and goal latency one sample", () => {
  const gaining = { rows: [1, 2, 4], ms: [2, 2.5, 4] };
  const nodes = PAIR.nodes.map((node) => ({ ...node, layer: gaining }));
  const cost = ringCost({ ...PAIR, nodes, samples: 4 }, [0, 1], [6, 4], 2);
  assertEquals(cost.stageMs, [6 * 2.5 + 2 + 6, 10]);
  assertEquals(cost.occupancyMs, [11.5, 5]);
  assertEquals(cost.linkMs, [6, 6]);
  assertEquals(cost.tokensPerSecond, Math.min(1000 / 11.5, 4000 / 45));
  const latency = ringCost({ ...PAIR, goal: "latency" }, [0, 1], [6, 4], 1);
  assertAlmostEquals(latency.tokensPerSecond, 1000 / 42);
});

Deno.test("ringCost() is the issue's formula for every ring of devices with one point", () => {
  fc.assert(fc.property(randomProblem(5, 12), (problem) => {
    const { nodes, model, samples } = problem;
    const single = nodes.map((node) => ({ ...node, layer: once(node.layer.ms[0]!) }));
    const counts = nodes.map((_, i) => i + 1);
    const order = nodes.map((_, i) => i);
    const cost = ringCost({ ...problem, nodes: single, goal: "throughput" }, order, counts, 1);
    // Of what messages take besides, the formula says nothing.
    const messages = nodes.map(({ frameMs = 0 }) => nodes.length > 1 ? frameMs : 0);
    let busiest = 0;
    let lap = 0;
    nodes.forEach((node, i) => {
      const stage = counts[i]! * node.layer.ms[0]! +
        (i === 0 ? node.embed.ms[0]! + node.head.ms[0]! : 0);
      const link = problem.link(i, (i + 1) % nodes.length);
      const transfer = nodes.length > 1 ? model.rowBytes / (link.mbit * 125) : 0;
      busiest = Math.max(busiest, stage + messages[i]!, transfer);
      lap += stage + (nodes.length > 1 ? link.rttMs / 2 + transfer : 0);
    });
    assertAlmostEquals(cost.tokensPerSecond, 1000 * Math.min(1 / busiest, samples / lap));
  }));
});

Deno.test("ringCost() counts what messages take where no processor is free for them, but in no ring of one", () => {
  const nodes = PAIR.nodes.map((node) => ({ ...node, frameMs: 3 }));
  const problem = { ...PAIR, nodes, samples: 8 };
  const cost = (frames: number) => ringCost(problem, [0, 1], [6, 4], 8 / frames);
  assertEquals(cost(8).occupancyMs, [16 + 3, 16 + 3]);
  assertEquals(cost(2).occupancyMs, [16 + 3 / 4, 16 + 3 / 4]);
  assertEquals(cost(8).stageMs, [16, 16]);
  assertEquals(ringCost(problem, [0], [10], 1).occupancyMs, [24]);
});

Deno.test("shareFrames() shares all samples, and rowChoices() has each longest frame once", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 600 }), (all, most) => {
      const { frames, rows, longest } = shareFrames(all, most);
      assertEquals(longest * rows + (frames - longest) * (rows - 1), all);
      assert(rows <= most && longest >= 1 && longest <= frames);
      const perToken = timePerToken({ rows: [1], ms: [3] }, shareFrames(all, most));
      assertAlmostEquals(perToken, 3);
      for (const choice of rowChoices(all)) assertEquals(shareFrames(all, choice).rows, choice);
    }),
  );
  assertEquals(rowChoices(8), [1, 2, 3, 4, 8]);
  assertEquals(rowChoices(1), [1]);
  assertEquals(Math.max(...rowChoices(4096)), 512);
});

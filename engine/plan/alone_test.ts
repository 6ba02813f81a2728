import { assertAlmostEquals, assertEquals } from "@std/assert";
import { independentReplicas, oneNodeAlone } from "./alone.ts";
import type { PlanProblem } from "./problem.ts";

const once = (ms: number) => ({ rows: [1], ms: [ms] });

/** Ten layers of 1 MB; a sample's caches take 1 MB in all. */
function problemOf(
  devices: readonly [ms: number, memoryMb: number][],
  samples: number,
): PlanProblem {
  return {
    model: {
      layers: 10,
      layerBytes: 1e6,
      kvBytesPerTokenLayer: 1000,
      embedBytes: 1e6,
      headBytes: 0,
      rowBytes: 64,
    },
    nodes: devices.map(([ms, memoryMb], i) => ({
      name: `n${i}`,
      memoryBytes: memoryMb * 1e6,
      layer: once(ms),
      embed: once(0),
      head: once(0),
    })),
    link: () => ({ rttMs: 1, mbit: 100 }),
    samples,
    context: 100,
    goal: "throughput",
  };
}

Deno.test("oneNodeAlone() takes the fastest that holds weights and all caches", () => {
  assertEquals(oneNodeAlone(problemOf([[4, 100], [2, 15], [1, 14]], 4)), {
    node: 1,
    tokensPerSecond: 50,
  });
  assertEquals(oneNodeAlone(problemOf([[4, 14]], 4)), null);
});

Deno.test("independentReplicas() deals samples out by speed, within memory", () => {
  const { nodes, samples, tokensPerSecond } = independentReplicas(
    problemOf([[1, 100], [2, 100], [4, 10]], 6),
  )!;
  assertEquals([nodes, samples], [[0, 1], [4, 2]]);
  assertAlmostEquals(tokensPerSecond, 150);
  // Room for one sample's caches and no more: the slow one takes the others.
  assertEquals(independentReplicas(problemOf([[1, 12], [2, 100]], 6))!.samples, [1, 5]);
  assertEquals(independentReplicas(problemOf([[1, 12], [2, 12]], 3)), null);
  // Fewer samples than devices: the fastest work.
  assertEquals(independentReplicas(problemOf([[3, 99], [1, 99], [2, 99]], 2))!.nodes, [1, 2]);
});

Deno.test("independentReplicas() gains from rows together where a device does", () => {
  const problem = problemOf([[1, 100]], 4);
  const nodes = problem.nodes.map((node) => ({ ...node, layer: { rows: [1, 4], ms: [1, 2] } }));
  assertAlmostEquals(independentReplicas({ ...problem, nodes })!.tokensPerSecond, 4000 / 20);
});

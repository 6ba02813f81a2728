/** Problems for the tests of the simulator: any ring, its links alike. */
import fc from "fast-check";
import type { RowTimes } from "../../wasm/row_times.ts";
import type { PlanProblem } from "./problem.ts";
import type { SimulatedPlan } from "./simulate.ts";

/** One node of a ring, in ms at one row. */
export interface TestNode {
  layers: number;
  layerMs: number;
  embedMs?: number;
  headMs?: number;
}

/** A ring and what is known of it. */
export interface TestRing {
  nodes: readonly TestNode[];
  samples: number;
  rttMs?: number;
  mbit?: number;
  /** What a further row costs, as a share of the first one. @default {1} */
  rowShare?: number;
  memoryBytes?: number;
}

/** The ring's problem, and its layers as a plan. */
export function testRing(ring: TestRing): { problem: PlanProblem; plan: SimulatedPlan } {
  const { nodes, samples, rttMs = 0, mbit = Infinity, rowShare = 1, memoryBytes = 1e9 } = ring;
  const times = (ms: number): RowTimes =>
    rowShare === 1 ? { rows: [1], ms: [ms] } : { rows: [1, 2], ms: [ms, ms * (1 + rowShare)] };
  const counts = nodes.map(({ layers }) => layers);
  const problem: PlanProblem = {
    model: {
      layers: counts.reduce((sum, count) => sum + count, 0),
      layerBytes: 1000,
      kvBytesPerTokenLayer: 10,
      embedBytes: 2000,
      headBytes: 2000,
      rowBytes: 2368,
    },
    nodes: nodes.map(({ layerMs, embedMs = 0, headMs = 0 }, i) => ({
      name: `node-${i}`,
      memoryBytes,
      layer: times(layerMs),
      embed: times(embedMs),
      head: times(headMs),
    })),
    link: () => ({ rttMs, mbit }),
    samples,
    context: 2000,
    goal: "throughput",
  };
  return { problem, plan: { order: nodes.map((_, i) => i), counts } };
}

const node: fc.Arbitrary<TestNode> = fc.record({
  layers: fc.integer({ min: 1, max: 9 }),
  layerMs: fc.double({ min: 0.2, max: 9, noNaN: true }),
  embedMs: fc.double({ min: 0, max: 1, noNaN: true }),
  headMs: fc.double({ min: 0, max: 30, noNaN: true }),
});

/** Rings of 1 to 8 nodes, fast and slow links, few and many samples. */
export const testRings: fc.Arbitrary<TestRing> = fc.record({
  nodes: fc.array(node, { minLength: 1, maxLength: 8 }),
  samples: fc.integer({ min: 1, max: 24 }),
  rttMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 60, noNaN: true })),
  mbit: fc.oneof(fc.constant(Infinity), fc.double({ min: 0.5, max: 20, noNaN: true })),
  rowShare: fc.constantFrom(1, 0.05, 0.2, 0.5, 0.9),
});

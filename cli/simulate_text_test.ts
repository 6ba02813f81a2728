import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { chooseFrames } from "../engine/plan/frames.ts";
import type { PlanProblem } from "../engine/plan/problem.ts";
import { simulate, type SimulateOptions } from "../engine/plan/simulate.ts";
import {
  type SimulatedRun,
  simulationRecord,
  simulationReport,
  simulationText,
} from "./simulate_text.ts";

/** Three devices of which two are in the ring, run with some options. */
function run(options: Partial<SimulateOptions> = {}): SimulatedRun {
  const once = (ms: number) => ({ rows: [1], ms: [ms] });
  const device = (name: string, layerMs: number) => ({
    name,
    memoryBytes: 1e9,
    layer: once(layerMs),
    embed: once(0.1),
    head: once(4),
  });
  const problem: PlanProblem = {
    model: {
      layers: 10,
      layerBytes: 2e6,
      kvBytesPerTokenLayer: 1000,
      embedBytes: 1e6,
      headBytes: 1e6,
      rowBytes: 2368,
    },
    nodes: [device("pi5", 2), device("old", 90), device("pi4", 5)],
    link: () => ({ rttMs: 0.4, mbit: 940 }),
    samples: 4,
    context: 500,
    goal: "throughput",
  };
  const split = { order: [0, 2], counts: [6, 4] };
  const ring = {
    ...split,
    ...chooseFrames(problem, split.order, split.counts),
    byNodes: [41.5, 50, null],
  };
  const all: SimulateOptions = { samples: 4, promptTokens: 8, tokens: 200, ...options };
  return { problem, ring, options: all, ...simulate(problem, ring, all), tookMs: 12.5 };
}

Deno.test("simulationRecord() has what a program wants", () => {
  const record = JSON.parse(JSON.stringify(simulationRecord(run())));
  assertEquals(
    [record.type, record.tokens, record.slots, record.decode_frames, record.seed],
    ["simulation", 800, 4, 4, "0"],
  );
  assertEquals([record.bottleneck, record.limited_by], ["pi4", "node"]);
  assertEquals(record.left_out, ["old"]);
  assertEquals(record.nodes.map((node: { layers: unknown }) => node.layers), [[0, 5], [6, 9]]);
  assertAlmostEquals(record.predicted_tokens_per_second, 50, 1e-9);
  assertAlmostEquals(record.steady_tokens_per_second, 50, 0.5);
  assertAlmostEquals(record.nodes[1].busy_fraction, 1, 0.01);
  assertEquals(record.links.map((link: { from: string }) => link.from), ["pi5", "pi4"]);
});

Deno.test("simulationText() says what was simulated, and what it gave", () => {
  const text = simulationText(run());
  assertMatch(text, /^4 samples of 200 tokens after prompts of 8, 4 at once in 4 frames\n/);
  assertMatch(text, /\npi5 \(starter\) +0-5 +8\d % +1\d % /);
  assertMatch(text, /\nleft out: old\n/);
  assertMatch(text, /tokens\/s: 50\.\d while the ring is full, 50\.0 predicted.*\([+-]?0\.\d %\)/);
  assertMatch(text, /\nbottleneck: node pi4\n/);
  assertMatch(text, / s simulated in 0\.01 s$/);
});

Deno.test("simulationText() says who died and what was lost", () => {
  const text = simulationText(run({ deaths: [{ node: 2, atMs: 2000 }, { node: 1, atMs: 100 }] }));
  assertMatch(text, /\ndied: pi4 after 2\.0 s\n/);
  assertMatch(text, /\ndied: old after 100 ms, which is not in the ring\n/);
  assertMatch(text, /\nlost: 4 samples\n/);
  assert(!text.includes("NaN"));
});

Deno.test("simulationReport() has the run and what each number of nodes would give", () => {
  const { timeline, byNodes, nodes, facts } = simulationReport(run());
  assertEquals(timeline?.samples.length, 4);
  assertEquals(byNodes, [{ nodes: 1, predicted: 41.5 }, { nodes: 2, predicted: 50 }]);
  assertEquals(nodes?.rows.length, 2);
  assert(facts!.some(([name]) => name === "bottleneck"));
});

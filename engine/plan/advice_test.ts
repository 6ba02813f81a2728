import { assert, assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import { MdiError } from "../../wasm/error.ts";
import { randomProblem } from "./_random_problem.ts";
import { advise } from "./advice.ts";
import { type PlannedRing, planRing } from "./planner.ts";
import type { PlanProblem } from "./problem.ts";
import { planReport } from "./report.ts";

const once = (ms: number) => ({ rows: [1], ms: [ms] });

/** Devices with 10 layers between them; heads take as long as a layer. */
function problemOf(
  devices: Record<string, number>,
  changes: Partial<PlanProblem> & { memoryBytes?: number; rttMs?: number; mbit?: number } = {},
): PlanProblem {
  const { memoryBytes = 1e9, rttMs = 0, mbit = Infinity, ...rest } = changes;
  return {
    model: {
      layers: 10,
      layerBytes: 1e6,
      kvBytesPerTokenLayer: 0,
      embedBytes: 0,
      headBytes: 1e6,
      rowBytes: 1000,
    },
    nodes: Object.entries(devices).map(([name, ms]) => ({
      name,
      memoryBytes,
      layer: once(ms),
      embed: once(0),
      head: once(ms),
    })),
    link: () => ({ rttMs, mbit }),
    samples: 8,
    context: 100,
    goal: "throughput",
    ...rest,
  };
}

function adviceOf(problem: PlanProblem): string {
  return advise(problem, planRing(problem));
}

Deno.test("advise() says what a node costs that is left out", () => {
  assertEquals(
    adviceOf(problemOf({ a: 10, b: 10, c: 100 }, { memoryBytes: 8e6 })),
    "Leave c out: 10.0 tokens/s with it, 16.7 without; b sets the pace",
  );
  assertMatch(
    adviceOf(problemOf({ a: 10, b: 10, c: 100, d: 200 }, { memoryBytes: 8e6 })),
    /^Leave c and d out: 5\.0 tokens\/s with all of them, 16\.7 without; /,
  );
});

Deno.test("advise() says what the ring gains over one node, or that none could hold the model", () => {
  assertMatch(
    adviceOf(problemOf({ a: 10, b: 10 })),
    /^Use both nodes: 16\.7 tokens\/s against 9\.1 on a alone; b sets the pace; a model of its own on each of a and b would give 18\.2 together, for up to 11\.0 MB on each$/,
  );
  assertMatch(
    adviceOf(problemOf({ a: 10, b: 10, c: 10 }, { memoryBytes: 6e6 })),
    /^Use all 3 nodes: 25\.0 tokens\/s, and none could hold the model alone; /,
  );
  assertEquals(adviceOf(problemOf({ a: 10 })), "Use a alone: 9.1 tokens/s");
});

Deno.test("advise() names a link that sets the pace, and how many samples would fill the ring", () => {
  assertMatch(
    adviceOf(problemOf({ a: 10, b: 10 }, { memoryBytes: 8e6, mbit: 0.1 })),
    /; the link a -> b sets the pace$/,
  );
  assertMatch(
    adviceOf(problemOf({ a: 10, b: 10 }, { memoryBytes: 8e6, rttMs: 1000 })),
    /; 19 samples at once instead of 8 would give 16\.7$/,
  );
});

Deno.test("advise() knows a starter that should have been another", () => {
  const latency = problemOf({ a: 10, b: 1 }, { goal: "latency" });
  assertEquals(
    adviceOf(latency),
    "Use both nodes: 50.0 tokens/s of one sample against 90.9 on b alone; b as a starter of its own would give 90.9",
  );
});

Deno.test("advise() is one sentence for every problem, and planReport() has the issue's fields", () => {
  fc.assert(
    fc.property(randomProblem(6, 12), (problem) => {
      let planned: PlannedRing;
      try {
        planned = planRing(problem);
      } catch (error) {
        assert(error instanceof MdiError);
        return;
      }
      const report = planReport(problem, planned);
      assertMatch(report.advice, /^(Leave|Use) [^\n]*[^.\s]$/);
      assert(!/NaN|Infinity|undefined|null/.test(JSON.stringify(report.advice)), report.advice);
      assertEquals(report.by_nodes.length, problem.nodes.length);
      const names = report.plan.map(({ node }) => node);
      assert(report.bottleneck.split(" -> ").every((name) => names.includes(name)));
      assertEquals([...names, ...report.left_out].length, problem.nodes.length);
      for (const { kv_tokens: tokens } of report.plan) {
        assert(tokens === null || tokens >= problem.samples * problem.context);
      }
    }),
    { seed: 10, numRuns: 1000 },
  );
});

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
    /^Leave c and d out: 5\.00 tokens\/s with both, 16\.7 without; /,
  );
});

Deno.test("advise() says what the ring gains over one node, or that none could hold the model", () => {
  assertMatch(
    adviceOf(problemOf({ a: 10, b: 10 })),
    /^Use both nodes: 16\.7 tokens\/s against 9\.09 on a alone; b sets the pace; a copy of the model on each of a and b would give 18\.2 together, in up to 11\.0 MB each$/,
  );
  assertMatch(
    adviceOf(problemOf({ a: 10, b: 10, c: 10 }, { memoryBytes: 6e6 })),
    /^Use all 3 nodes: 25\.0 tokens\/s, and none could hold the model and all samples alone; /,
  );
  assertEquals(adviceOf(problemOf({ a: 10 })), "Use a alone: 9.09 tokens/s");
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

Deno.test("advise() wants no more samples than there is room for", () => {
  const { model, ...rest } = problemOf({ a: 10, b: 10 }, { memoryBytes: 8e6, rttMs: 1000 });
  const cached = { ...rest, model: { ...model, kvBytesPerTokenLayer: 400 } };
  assertMatch(
    adviceOf(cached),
    /; 19 samples at once would give 16\.7, but there is no room for so/,
  );
});

Deno.test("advise() says why nodes are left out that no ring could have", () => {
  const { model, ...rest } = problemOf({ a: 10, b: 10, c: 10, d: 10, e: 10 });
  assertMatch(
    adviceOf({ ...rest, model: { ...model, layers: 2 } }),
    /^Leave d and e out: 100\.0 tokens\/s without them, and at most 3 nodes can share 2 layers; /,
  );
  const many = problemOf(Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`n${i}`, 9])));
  const advice = adviceOf({ ...many, model: { ...many.model, layers: 150 }, samples: 40 });
  assertMatch(advice, /^Leave n16, n17, n18 and n19 out: .*without them, and at most 16 nodes can/);
  assertMatch(advice, /; a copy of the model on each node would give/);
  const full = { ...problemOf({ a: 10, b: 10 }) };
  const nodes = full.nodes.map((node, i) => i === 0 ? node : { ...node, memoryBytes: 0 });
  assertEquals(
    adviceOf({ ...full, nodes }),
    "Leave b out: 9.09 tokens/s without it, which has no room for a layer",
  );
});

Deno.test("advise() names some of many nodes, and says where more of them are no gain", () => {
  const devices = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`n${i}`, 1]));
  const advice = adviceOf(problemOf({ ...devices, n0: 50 }, { samples: 2 }));
  assertMatch(advice, /^Leave n\d+(, n\d+){7} and [67] others out: [^;]*, which is no gain/);
});

Deno.test("advise() knows a starter that should have been another", () => {
  const latency = problemOf({ a: 10, b: 1 }, { goal: "latency" });
  assertEquals(
    adviceOf(latency),
    "Use both nodes: 50.0 tokens/s of one sample; b alone, as the starter, would give 90.9",
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

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MdiError } from "../wasm/error.ts";
import type { StageProfile } from "../wasm/profile.ts";
import { timeOf } from "../wasm/row_times.ts";
import { PAGE } from "../wasm/simd/abi.ts";
import { nodeBytes } from "../wasm/stage_memory.ts";
import type { Manifest } from "../engine/model/types.ts";
import { kvLimit } from "../engine/ring/kv_budget.ts";
import { planWithin } from "./choose_plan.ts";
import { ADDRESSABLE_BYTES, KV_SHARE } from "./device.ts";
import {
  plannedContext,
  planProblem,
  type ProblemInput,
  SLACK_BYTES,
  withLoad,
} from "./plan_problem.ts";
import { predictRun } from "./predict_run.ts";

/** Twelve layers of 10 MB over an untied head of 30 MB. */
const MANIFEST = {
  config: { layers: 12, hidden: 100, context: 2048 },
  blocks: [
    { name: "embed", bytes: 20e6, parameters: 20e6 },
    ...Array.from(
      { length: 12 },
      (_, i) => ({ name: `layer.${i}`, bytes: 10e6, parameters: 16e6 }),
    ),
    { name: "head", bytes: 30e6, parameters: 28e6 },
  ],
} as unknown as Manifest;

/** A node whose layer takes `ms`, with little gained by more rows. */
function profile(ms: number, changes: Partial<StageProfile> = {}): StageProfile {
  const times = (first: number) => ({ rows: [1, 2, 4], ms: [first, 1.8 * first, 3.5 * first] });
  return {
    backend: "simd",
    threads: 1,
    processors: 4,
    layer: times(ms),
    layerCachedMs: 0,
    prefillLayer: { rows: [1, 32], ms: [ms, 20 * ms] },
    embed: null,
    head: null,
    callMs: 0,
    layerWeightBytes: 10e6,
    kvBytesPerTokenLayer: 1000,
    measuredMs: 1,
    ...changes,
  };
}

const ENDS = { embed: { rows: [1], ms: [0.1] }, head: { rows: [1, 4], ms: [5, 8] } };
/** Bytes that a node does not give to weights and caches. */
const TAKEN = nodeBytes("simd") + SLACK_BYTES;
const LINK = { rttMs: 1, mbit: 1000 };

function input(changes: Partial<ProblemInput> = {}, profiles = [profile(2, ENDS), profile(4)]) {
  return {
    manifest: MANIFEST,
    nodes: profiles.map((profile, i) => ({
      name: `n${i}`,
      memoryFreeBytes: 8e9,
      profile,
    })),
    links: profiles.map(() => profiles.map(() => LINK)),
    samples: 4,
    context: 1024,
    wire: "f32" as const,
    ...changes,
  };
}

Deno.test("planProblem() estimates a secondary's embed and head by the ratio of the layers", () => {
  const { nodes } = planProblem(input());
  assertEquals(nodes[0]!.head, ENDS.head);
  assertEquals(nodes[1]!.head, { rows: [1, 4], ms: [10, 16] });
  assertEquals(nodes[1]!.embed.ms, [0.2]);
});

Deno.test("planProblem() counts what a process takes, what a wire carries, and the share of memory without caches", () => {
  const given = input({ wire: "f16", samples: 1 });
  given.nodes[0]!.memoryFreeBytes = 2e9;
  const { model, nodes, goal } = planProblem(given);
  assertEquals(nodes[0]!.memoryBytes, 2e9 - TAKEN);
  assertEquals(model.rowBytes, 2 * 100 + 64);
  assertEquals(model.kvBytesPerTokenLayer, 1250);
  assertEquals(goal, "latency");
  assertEquals(planProblem(input()).goal, "throughput");
});

Deno.test("planProblem() has the way to the compute thread in embed, head and the link", () => {
  const { nodes, link } = planProblem(
    input({}, [profile(2, { ...ENDS, callMs: 0.5 }), profile(4, { callMs: 0.25 })]),
  );
  assertEquals(nodes[0]!.head.ms, [5.5, 8.5]);
  assertEquals(link(0, 1), { rttMs: 1.5, mbit: 1000 });
  assertEquals(link(1, 0), { rttMs: 2, mbit: 1000 });
});

Deno.test("planProblem() has messages take of computing where no processor is free for them", () => {
  const profiles = [
    profile(2, { ...ENDS, threads: 3 }),
    profile(4, { threads: 4 }),
    profile(4, { processors: 0.2 }),
  ];
  const given = input({}, profiles);
  const nodes = given.nodes.map((node) => ({ ...node, messageCpuMs: 0.5 }));
  const frameMs = planProblem({ ...given, nodes }).nodes.map((node) => node.frameMs);
  assertEquals(frameMs, [0, 2 * 0.5 / 4, 2 * 0.5 / 0.2]);
});

Deno.test("planProblem() makes a way that is none one that no plan takes where there is another", () => {
  const profiles = [profile(2, ENDS), profile(2), profile(2)];
  const links = profiles.map((_, from) =>
    profiles.map((_, to) => (from === 0 && to === 1) ? undefined : LINK)
  );
  const { planned } = planWithin(input({ links }, profiles), "f32");
  assertEquals(planned.order, [0, 2, 1]);
});

Deno.test("withLoad() adds what cached tokens cost", () => {
  const profiles = [profile(2, { ...ENDS, layerCachedMs: 0.01 }), profile(4)];
  const problem = planProblem(input({}, profiles));
  const { nodes, samples } = withLoad(problem, profiles, { samples: 2, cached: 132 });
  assertEquals(samples, 2);
  assertEquals(timeOf(nodes[0]!.layer, 1), 3);
  assertEquals(timeOf(nodes[0]!.layer, 2), 2 * 1.8 + 2);
  assertEquals(timeOf(nodes[1]!.layer, 1), 4);
});

Deno.test("plannedContext() is what a person says, else 1024 where the model has as many", () => {
  assertEquals([plannedContext(5000, MANIFEST), plannedContext(undefined, MANIFEST)], [5000, 1024]);
  const short = { config: { context: 77 } } as Manifest;
  assertEquals(plannedContext(undefined, short), 77);
});

Deno.test("planWithin() keeps room for all caches, else for one, else says that the model does not fit", async (t) => {
  const weights = 12 * 11.5e6 + 60e6;
  const of = (free: number, samples = 8) => {
    const given = input({ samples }, [profile(2, ENDS)]);
    given.nodes[0]!.memoryFreeBytes = TAKEN + weights + free;
    return planWithin(given, "f32");
  };
  const sample = 12 * 1250 * 1024;
  await t.step("all", () => assertEquals(of(8 * sample).note, null));
  await t.step("one", () => {
    const { note, problem } = of(2 * sample);
    assertEquals([problem.context, problem.samples], [128, 8]);
    assertEquals(
      note,
      "memory holds the KV caches of one sample of 1024 tokens and not of 8: others may wait for room, or keep smaller ones with --kv f16 or --kv int8",
    );
  });
  await t.step("less", () => assert(of(sample / 2).note!.includes("only shorter ones fit")));
  await t.step("none", () => {
    const error = assertThrows(() => of(-10e6), MdiError);
    assertEquals(error.code, "memory");
  });
});

Deno.test("planWithin() leaves every node the room for caches that it counted, in whole pages", () => {
  const megabytes = fc.integer({ min: 60, max: 900 });
  fc.assert(
    fc.property(
      fc.array(megabytes, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 1, max: 16 }),
      fc.integer({ min: 1, max: 2048 }),
      (free, samples, context) => {
        const profiles = free.map((_, i) => profile(2 + i, i === 0 ? ENDS : {}));
        const given = input({ samples, context }, profiles);
        given.nodes.forEach((node, i) => node.memoryFreeBytes = TAKEN + 1e6 * free[i]!);
        let found: ReturnType<typeof planWithin>;
        try {
          found = planWithin(given, "f32");
        } catch (error) {
          assertEquals((error as MdiError).code, "memory");
          return;
        }
        const { problem: { model }, planned: { order, counts }, note } = found;
        const { tokens } = kvLimit(order.map((index, i) => ({
          memoryBytes: KV_SHARE *
            (1e6 * free[index]! - counts[i]! * model.layerBytes -
              (i === 0 ? model.embedBytes + model.headBytes : 0)),
          kvBytesPerToken: 1000 * counts[i]!,
          kvPageTokens: PAGE,
        })));
        const pages = PAGE * Math.ceil(context / PAGE);
        if (note === null) assert(tokens >= samples * pages);
        else if (note.includes("one sample")) assert(tokens >= pages);
        else assert(tokens >= PAGE);
      },
    ),
    { seed: 7 },
  );
});

Deno.test("planProblem() puts no more on a node than WebAssembly has addresses for, and takes no node's word for what a layer takes", () => {
  const lie = { layerWeightBytes: 2 ** 50, kvBytesPerTokenLayer: 2 ** 50 };
  const given = input({}, [profile(2, ENDS), profile(4, lie)]);
  given.nodes[1]!.memoryFreeBytes = 2 ** 63;
  const { model, nodes } = planProblem(given);
  assertEquals(nodes[1]!.memoryBytes, ADDRESSABLE_BYTES);
  assertEquals([model.layerBytes, model.kvBytesPerTokenLayer], [11.5e6, 1250]);
});

Deno.test("predictRun() is the cost model for the samples and lengths that there were", () => {
  const given = input({ samples: 2 });
  const { problem, planned } = planWithin(given, "f32");
  const profiles = given.nodes.map(({ profile }) => profile);
  const load = {
    tokens: 100,
    promptTokens: 0,
    samples: 2,
    inFlight: 2,
    decodeFrames: planned.decodeFrames,
  };
  const { tokensPerSecond, msPerToken } = predictRun({ problem, planned, profiles }, load);
  const { cost } = planned;
  assert(Math.abs(tokensPerSecond - cost.tokensPerSecond) < 1e-6 * tokensPerSecond);
  cost.occupancyMs.forEach((ms, i) => assert(Math.abs(ms - msPerToken[i]!) < 1e-6 * ms));
  const prompts = predictRun({ problem, planned, profiles }, { ...load, promptTokens: 64 });
  assert(prompts.tokensPerSecond < tokensPerSecond);
  assert(prompts.msPerToken[0]! > msPerToken[0]!);
});

Deno.test("predictRun() is finite and above 0 whatever the run was", () => {
  const given = input();
  const { problem, planned } = planWithin(given, "f32");
  const profiles = given.nodes.map(({ profile }) => profile);
  fc.assert(
    fc.property(
      fc.record({
        tokens: fc.integer({ min: 1, max: 1e6 }),
        promptTokens: fc.integer({ min: 0, max: 1e6 }),
        samples: fc.integer({ min: 1, max: 1e4 }),
        inFlight: fc.double({ min: 0, max: 600, noNaN: true }),
        decodeFrames: fc.integer({ min: 1, max: 512 }),
      }),
      (load) => {
        const { tokensPerSecond, msPerToken } = predictRun({ problem, planned, profiles }, load);
        assert(tokensPerSecond > 0 && Number.isFinite(tokensPerSecond));
        assert(msPerToken.every((ms) => ms > 0 && Number.isFinite(ms)));
      },
    ),
    { seed: 7 },
  );
});

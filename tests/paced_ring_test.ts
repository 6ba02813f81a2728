/**
 * Rings of real processes that stand for slower devices give what the cost model promises. A run is steady once
 * every sample has drawn a token; only that part is looked at.
 */
import { assert } from "@std/assert";
import { planRing } from "../engine/plan/planner.ts";
import type { Pace } from "../wasm/pace.ts";
import { layeredModel } from "./support/layered_model.ts";
import { device, homeDevices, pacedProblem } from "./support/paced_devices.ts";
import { PacedRing, steadyTokensPerSecond } from "./support/paced_ring.ts";

/** Least share of the bound, and most of its time that the bottleneck may idle. */
const SHARE = 0.95;
const IDLE = 0.05;
/** What a stage takes for a row, in ms: beside it, this machine's own work for all nodes is small. */
const STAGE_MS = 50;
const MANY_STAGE_MS = 100;
/** Tokens of each sample. */
const TOKENS = 14;
/** Other programs on this machine may delay a run; they make none faster. */
const RUNS = 3;

interface Case {
  name: string;
  /** The starter first. */
  devices: readonly Pace[];
  /** Layers of the model. */
  layers: number;
  /** Whether it takes too long for every run. */
  slow: boolean;
}

function equal(nodes: number, slow: boolean, stageMs = STAGE_MS): Case {
  return {
    name: `${nodes} equal nodes`,
    devices: Array.from({ length: nodes }, () => device(stageMs / 2)),
    layers: 2 * nodes,
    slow,
  };
}

const { pi5, pi4, laptop } = homeDevices();
const CASES: Case[] = [
  equal(2, false),
  equal(3, true),
  equal(4, true),
  equal(8, false),
  equal(16, true, MANY_STAGE_MS),
  { name: "a Pi 5, a Pi 4 and a laptop", devices: [pi5, pi4, laptop], layers: 24, slow: false },
  {
    name: "a Pi 5, two Pi 4 and a laptop",
    devices: [pi5, pi4, pi4, laptop],
    layers: 24,
    slow: true,
  },
];

for (const { name, devices, layers, slow } of CASES) {
  Deno.test({
    name: `A ring of ${name} reaches ${100 * SHARE} % of what its plan can give`,
    ignore: slow && !Deno.env.get("MDI_TEST_FULL"),
    async fn() {
      const samples = 2 * devices.length;
      const problem = pacedProblem(devices, { layers, samples });
      const planned = planRing(problem);
      assert(planned.leftOut.length === 0, "every device is worth its place");
      const { order, counts, decodeFrames, cost } = planned;
      await using model = await layeredModel(layers);
      await using ring = await PacedRing.start({
        model: model.path,
        paces: order.map((node) => devices[node]!),
        layers: counts,
        slots: samples,
        decodeFrames,
      });
      const runs: { share: number; idle: number }[] = [];
      do {
        const run = await ring.run({ samples, tokens: TOKENS });
        runs.push({
          share: steadyTokensPerSecond(run) / cost.tokensPerSecond,
          idle: 1 - run.steady!.busyFractions[cost.busiest.index]!,
        });
      } while (!good(runs.at(-1)!) && runs.length < RUNS);
      const figures = runs.map(({ share, idle }) =>
        `${percent(share)} of ${cost.tokensPerSecond.toFixed(2)} tokens/s, the busiest idle ${
          percent(idle)
        }`
      ).join("; ");
      assert(runs.some(good), `layers ${counts.join(",")}: ${figures}`);
      // No emulated device is faster than what it stands for, but for the grain of the time stamps.
      assert(runs.every(({ share }) => share < 1.02), figures);
    },
  });
}

function good({ share, idle }: { share: number; idle: number }): boolean {
  return share >= SHARE && idle <= IDLE;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

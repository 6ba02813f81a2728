/** `mdi simulate`: runs a plan on devices that are not there. */
import { dirname } from "node:path";
import { parseLayers } from "../engine/plan/parse_layers.ts";
import { chooseFrames } from "../engine/plan/frames.ts";
import { planRing } from "../engine/plan/planner.ts";
import type { PlanProblem } from "../engine/plan/problem.ts";
import { simulate, type SimulateOptions } from "../engine/plan/simulate.ts";
import { type Length, longest } from "../engine/plan/workload.ts";
import { MdiError, messageOf } from "../wasm/error.ts";
import type { CommandContext } from "./program.ts";
import type { TypedDeath, TypedThrottle } from "./simulate_args.ts";
import {
  type SimulatedRun,
  simulationRecord,
  simulationReport,
  simulationText,
} from "./simulate_text.ts";
import { readWhatIfFile } from "./what_if_file.ts";

/** What `mdi simulate` takes. */
export interface SimulateFlags {
  /** The file with the devices. */
  whatIf: string;
  /** Samples in all. */
  samples?: number;
  /** Samples in the ring at once. */
  slots?: number;
  tokens?: Length;
  promptTokens?: Length;
  /** Samples a second. */
  rate?: number;
  seed?: bigint;
  /** Milliseconds. */
  jitter?: number;
  /** Share of TCP segments. */
  loss?: number;
  throttle?: TypedThrottle[];
  die?: TypedDeath[];
  /** A number for each device of the file; 0 leaves it out. */
  layers?: string;
  /** Where the HTML report goes. */
  report?: string;
}

/** Samples in all for each that is in the ring at once. */
const ROUNDS = 4;
const TOKENS = 200;
const PROMPT_TOKENS = 32;

/** Simulates a plan for the devices of a file, or the split that is given. */
export async function simulateCommand(
  flags: SimulateFlags,
  { output }: CommandContext,
): Promise<void> {
  const { tokens = TOKENS, promptTokens = PROMPT_TOKENS, slots, seed = 0n } = flags;
  const asked = await readWhatIfFile(flags.whatIf, {
    ...(slots !== undefined && { samples: slots }),
  }, output);
  const samples = flags.samples ?? ROUNDS * asked.samples;
  const problem: PlanProblem = {
    ...asked,
    samples: Math.min(asked.samples, samples),
    // The plan makes room for what is simulated.
    context: longest(promptTokens) + longest(tokens),
  };
  const ring = flags.layers === undefined ? planRing(problem) : givenRing(problem, flags.layers);
  const options: SimulateOptions = {
    samples,
    promptTokens,
    tokens,
    seed,
    ...(flags.rate !== undefined && { perSecond: flags.rate }),
    ...(flags.jitter !== undefined && { jitterMs: flags.jitter }),
    ...(flags.loss !== undefined && { loss: flags.loss }),
    throttles: flags.throttle?.map(({ name, factor, atMs }) => ({
      node: nodeNamed(name, problem),
      factor,
      atMs,
    })) ?? [],
    deaths: flags.die?.map(({ name, atMs }) => ({ node: nodeNamed(name, problem), atMs })) ?? [],
    record: flags.report !== undefined,
  };
  const start = performance.now();
  const simulation = simulate(problem, ring, options);
  const tookMs = performance.now() - start;
  const run: SimulatedRun = { problem, ring, options, ...simulation, tookMs };
  if (flags.report !== undefined) {
    const { renderReport } = await import("./report/render.ts");
    await writeReport(flags.report, await renderReport(simulationReport(run)));
    output.log(`report written to ${flags.report}`, { event: "report", file: flags.report });
  }
  output.record(simulationRecord(run));
  output.text(`${simulationText(run)}\n`);
}

/** The split that a person gives, with as many frames as suit it. */
function givenRing(problem: PlanProblem, layers: string): SimulatedRun["ring"] {
  const all = layers.split(",").map(Number);
  const fits = all.length === problem.nodes.length;
  const order = problem.nodes.map((_, node) => node)
    .filter((node) => !fits || node === 0 || all[node] !== 0);
  const text = fits ? order.map((node) => all[node]).join(",") : layers;
  const plan = parseLayers(text, order.map((i) => problem.nodes[i]!.name), problem.model.layers);
  const counts = plan.nodes.map(({ layers }) => layers ? layers[1] - layers[0] + 1 : 0);
  return { order, counts, ...chooseFrames(problem, order, counts) };
}

function nodeNamed(name: string, { nodes }: PlanProblem): number {
  const index = nodes.findIndex((node) => node.name === name);
  if (index >= 0) return index;
  throw new RangeError(
    `Cannot simulate "${name}": the file's devices are ${nodes.map(({ name }) => name).join(", ")}`,
  );
}

async function writeReport(path: string, text: string): Promise<void> {
  try {
    await Deno.writeTextFile(path, text);
  } catch (cause) {
    throw new MdiError(
      "disk",
      `Cannot write the report ${path}: ${messageOf(cause)}; see that ${
        dirname(path)
      } can be written to`,
      { cause },
    );
  }
}

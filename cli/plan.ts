/** `mdi plan`: which devices to use, with which layers, and what that would give. */
import { type PlannedRing, planRing } from "../engine/plan/planner.ts";
import type { PlanProblem } from "../engine/plan/problem.ts";
import { planReport } from "../engine/plan/report.ts";
import type { WhatIfOptions } from "../engine/plan/what_if.ts";
import type { Output } from "./output.ts";
import { planText } from "./plan_table.ts";
import type { PlanPeersOptions } from "./plan_peers.ts";
import type { CommandContext } from "./program.ts";
import { readWhatIfFile } from "./what_if_file.ts";

/** What `mdi plan` takes. */
export interface PlanOptions extends PlanPeersOptions {
  /** The file with the devices. */
  whatIf?: string;
}

/** Plans for the devices of a file, or for this one and its peers. */
export async function planCommand(options: PlanOptions, context: CommandContext): Promise<void> {
  const { output } = context;
  if (options.whatIf === undefined) {
    if (options.peers === undefined) {
      throw new RangeError(
        "Cannot plan: no devices are given; name them with --peers, or a file with --what-if FILE",
      );
    }
    const { measurePlan } = await import("./plan_peers.ts");
    const { problem, planned, measured } = await measurePlan(options, context);
    return showPlan(problem, planned, output, measured);
  }
  const problem = await readWhatIfFile(options.whatIf, whatIfOptions(options), output);
  showPlan(problem, planRing(problem), output);
}

/**
 * Shows a plan: tables for people, one record for programs.
 * @param measured further fields of the record.
 */
export function showPlan(
  problem: PlanProblem,
  planned: PlannedRing,
  output: Output,
  measured: Record<string, unknown> = {},
): void {
  output.record({ type: "plan", ...planReport(problem, planned), ...measured });
  output.text(`${planText(problem, planned, { bars: Deno.stdout.isTerminal() })}\n`);
}

function whatIfOptions({ samples, context, latency }: PlanOptions): WhatIfOptions {
  return {
    ...(samples !== undefined && { samples }),
    ...(context !== undefined && { context }),
    ...(latency && { goal: "latency" }),
  };
}

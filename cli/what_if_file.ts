/** The file that says which devices there are: `--what-if FILE`. */
import { messageOf } from "../wasm/error.ts";
import { MAX_WHAT_IF_BYTES, readWhatIf, type WhatIfOptions } from "../engine/plan/what_if.ts";
import type { PlanProblem } from "../engine/plan/problem.ts";
import type { Output } from "./output.ts";

/**
 * Reads a what-if file and tells what it leaves to defaults.
 * @throws {RangeError} where it cannot be read or is no such file.
 */
export async function readWhatIfFile(
  path: string,
  options: WhatIfOptions,
  output: Output,
): Promise<PlanProblem> {
  const { problem, notes } = readWhatIf(await readText(path), options);
  for (const note of notes) output.log(note, { event: "note" });
  return problem;
}

async function readText(path: string): Promise<string> {
  try {
    const { size, isFile } = await Deno.stat(path);
    if (!isFile) throw new RangeError("it is no file");
    if (size > MAX_WHAT_IF_BYTES) throw new RangeError(`it has ${size} bytes`);
    return await Deno.readTextFile(path);
  } catch (cause) {
    throw new RangeError(
      `Cannot read the what-if file ${path}: ${messageOf(cause)}; give a file of devices as JSON`,
      { cause },
    );
  }
}

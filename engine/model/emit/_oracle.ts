/** For tests: the oracles of tests/fixtures/tiny-*. */
import { join } from "node:path";

/** One prompt of an oracle. */
export interface OraclePrompt {
  ids: number[];
  /** 24 greedy ids, the end token ignored. */
  greedy: number[];
  /** f32 [ids, vocab]. */
  logits: Float32Array;
}

/** The fixtures' directory. */
export const FIXTURES: string = join(import.meta.dirname!, "../../../tests/fixtures");

interface RawPrompt {
  ids?: number[];
  "greedy_ids": number[];
  "logits_file": string;
}

/** Reads a fixture's oracle: of one GGUF file, or of the fp32 model where none is named. */
export function readOracle(fixture: string, gguf?: string): OraclePrompt[] {
  const raw = JSON.parse(Deno.readTextFileSync(join(FIXTURES, fixture, "oracle.json")));
  const prompts: RawPrompt[] = raw.prompts;
  const answers: RawPrompt[] = gguf === undefined ? prompts : raw.gguf[gguf].prompts;
  return answers.map((answer, i) => ({
    ids: prompts[i]!.ids!,
    greedy: answer.greedy_ids,
    logits: readNpy(join(FIXTURES, fixture, answer.logits_file)),
  }));
}

/** The values of a little-endian float32 .npy file, version 1. */
function readNpy(path: string): Float32Array {
  const bytes = Deno.readFileSync(path);
  const header = 10 + new DataView(bytes.buffer).getUint16(8, true);
  return new Float32Array(bytes.slice(header).buffer);
}

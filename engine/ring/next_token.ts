/**
 * From hidden rows to tokens: the head is read as far as the samplers have to see it. All logits of a
 * row are 196 KB to 608 KB that leave the compute thread; candidates are a few bytes.
 */
import { type Candidates, candidatesOfRow } from "../../wasm/candidates.ts";
import type { Stage } from "../../wasm/stage.ts";
import type { Sampler } from "../text/sampler.ts";

/** What a token is drawn from: all logits of a row, or its largest ones where these decide it. */
export type HeadRow = Float32Array | Candidates;

/** A hidden row whose next token is wanted. */
export interface WantedRow {
  /** Its place among the hidden rows. */
  row: number;
  /** What is to choose the token. */
  sampler: Sampler;
}

/** The stage whose head is read, and the lengths of its rows. */
export interface Head {
  stage: Pick<Stage, "logits" | "candidates">;
  dModel: number;
  vocab: number;
}

/**
 * Runs the head once over all wanted rows, and again over those that candidates do not decide.
 * @param hidden hidden rows [rows, d_model].
 * @returns what each wanted row's token is drawn from; the head's next call may use its memory again.
 */
export async function readHead(
  head: Head,
  hidden: Float32Array,
  wanted: readonly WantedRow[],
): Promise<HeadRow[]> {
  const few = candidatesFor(wanted);
  // The head's cost is reading its weights, so rows are not divided into those with and without.
  if (few === null) return await readLogits(head, hidden, wanted);
  const found = await head.stage.candidates(pickRows(hidden, wanted, head.dModel), few);
  const out: HeadRow[] = [];
  const undecided: number[] = [];
  wanted.forEach(({ sampler }, at) => {
    const row = candidatesOfRow(found, at);
    if (!sampler.isDecidedBy(row)) undecided.push(at);
    out.push(row);
  });
  if (undecided.length > 0) {
    const whole = await readLogits(head, hidden, undecided.map((at) => wanted[at]!));
    undecided.forEach((at, i) => out[at] = whole[i]!);
  }
  return out;
}

/** Draws a row's next token; `history` has all ids so far. */
export function drawToken(sampler: Sampler, row: HeadRow, history: Int32Array): number {
  return row instanceof Float32Array ? sampler.sample(row, history) : sampler.sampleCandidates(row);
}

/** How many candidates are enough for every row; null where one has to be seen as a whole. */
function candidatesFor(wanted: readonly WantedRow[]): number | null {
  let most = 1;
  for (const { sampler: { candidates } } of wanted) {
    if (candidates === null) return null;
    most = Math.max(most, candidates);
  }
  return most;
}

async function readLogits(
  { stage, dModel, vocab }: Head,
  hidden: Float32Array,
  wanted: readonly WantedRow[],
): Promise<Float32Array[]> {
  const logits = await stage.logits(pickRows(hidden, wanted, dModel));
  return wanted.map((_, at) => logits.subarray(at * vocab, (at + 1) * vocab));
}

/** The wanted rows of hidden [rows, d_model]; itself where they are all of it. */
function pickRows(
  hidden: Float32Array,
  wanted: readonly WantedRow[],
  dModel: number,
): Float32Array {
  if (wanted.length * dModel === hidden.length) return hidden;
  const out = new Float32Array(wanted.length * dModel);
  wanted.forEach(({ row }, at) =>
    out.set(hidden.subarray(row * dModel, (row + 1) * dModel), at * dModel)
  );
  return out;
}

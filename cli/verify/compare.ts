/** Whether tokens are the golden ones, and where they stop being so. */
import type { GoldenPrompt } from "./golden.ts";

/**
 * Difference of the two largest logits from which a token is clear in spite of rounding: a backend that rounds in
 * another way than simd, with its int8 activations, may have another token below it and not above.
 */
export const CLEAR_MARGIN = 0.3;

/** What one prompt came to. */
export interface PromptTokens {
  /** Token ids of the prompt. */
  promptIds: readonly number[];
  /** Token ids of the answer. */
  ids: readonly number[];
}

/** The first token of a prompt that is not the golden one. */
export interface Difference {
  /** Name of the prompt. */
  prompt: string;
  /** Whether it is one of the prompt itself, which the tokenizer made, or of the answer. */
  of: "prompt" | "answer";
  /** Its number, from 1. */
  token: number;
  /** The golden id; null where there is to be none. */
  expected: number | null;
  /** The id that came; null where none did. */
  got: number | null;
  /** Difference of the two largest logits there; null for a prompt's. */
  margin: number | null;
}

/** What a comparison came to. */
export interface Comparison {
  /** Golden tokens in all. */
  tokens: number;
  /** Tokens that are equal, up to the first of each prompt that is not. */
  equal: number;
  /** Where tokens differ that may not. */
  differences: Difference[];
  /** Where tokens differ that may, as the margin is small and the backend rounds differently. */
  unclear: Difference[];
}

/**
 * Compares what each prompt came to, in their order. After the first token that differs, an answer is another text,
 * and nothing of it can be compared.
 * @param exact whether all bits are to be equal, as on simd; else only clear margins count.
 */
export function compareTokens(
  golden: readonly GoldenPrompt[],
  results: readonly PromptTokens[],
  exact: boolean,
): Comparison {
  const comparison: Comparison = { tokens: 0, equal: 0, differences: [], unclear: [] };
  for (const [i, { name, prompt_ids, ids, margins }] of golden.entries()) {
    const result = results[i] ?? { promptIds: [], ids: [] };
    comparison.tokens += ids.length;
    const inPrompt = firstDifference(prompt_ids, result.promptIds);
    if (inPrompt >= 0) {
      comparison.differences.push({
        ...{ prompt: name, of: "prompt", token: inPrompt + 1, margin: null },
        expected: prompt_ids[inPrompt] ?? null,
        got: result.promptIds[inPrompt] ?? null,
      });
      continue;
    }
    const at = firstDifference(ids, result.ids);
    comparison.equal += at < 0 ? ids.length : Math.min(at, ids.length);
    if (at < 0) continue;
    const margin = margins[at] ?? null;
    const got = result.ids[at] ?? null;
    // Too few or too many tokens are no matter of rounding.
    const may = !exact && got !== null && margin !== null && margin < CLEAR_MARGIN;
    (may ? comparison.unclear : comparison.differences).push({
      ...{ prompt: name, of: "answer", token: at + 1, margin },
      expected: ids[at] ?? null,
      got,
    });
  }
  return comparison;
}

/** Index of the first difference; -1 where there is none. */
function firstDifference(expected: readonly number[], got: readonly number[]): number {
  const length = Math.max(expected.length, got.length);
  for (let i = 0; i < length; i++) if (expected[i] !== got[i]) return i;
  return -1;
}

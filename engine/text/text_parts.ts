/**
 * Long texts in parts. The patterns of pre-tokenizers keep a backtracking stack that overflows after a
 * few million emoji in a row, and a single word of megabytes takes gigabytes to merge; a part does not.
 */

/** A text up to this length stays whole. */
const PART_LENGTH = 65_536;
/** Where every byte-level pre-tokenizer parts words: before a space between two letters. */
const WORD_BOUNDARY = /\p{L} (?=\p{L})/gu;

/**
 * Cuts a text where words part, so that the parts' ids are those of the whole. Only a run of
 * 32,768 characters without such a place is cut inside.
 */
export function textParts(text: string): string[] {
  const parts: string[] = [];
  let start = 0;
  while (text.length - start > PART_LENGTH) {
    const end = lastBoundary(text, start + PART_LENGTH / 2, start + PART_LENGTH);
    parts.push(text.slice(start, end));
    start = end;
  }
  parts.push(text.slice(start));
  return parts;
}

/** The last place to cut in [from, to], else `to` or one before, if it parts a surrogate pair. */
function lastBoundary(text: string, from: number, to: number): number {
  let found = -1;
  for (const match of text.slice(from, to).matchAll(WORD_BOUNDARY)) {
    found = from + match.index + match[0].length - 1;
  }
  if (found !== -1) return found;
  const next = text.charCodeAt(to);
  return next >= 0xdc00 && next <= 0xdfff ? to - 1 : to;
}

/**
 * Long texts in parts. The patterns of pre-tokenizers keep a backtracking stack that overflows after a
 * few million emoji in a row, and one word of megabytes takes gigabytes to merge; a part does neither,
 * and between parts the tokenizer can give up on a text that is too long anyhow.
 */

/** A text up to this length, in UTF-16 code units, stays whole. */
const PART_LENGTH = 16_384;
/** Where every pre-tokenizer parts words: before a space between two letters. */
const WORD_BOUNDARY = /\p{L} (?=\p{L})/gu;

/**
 * Cuts a text where words part, so that the parts' ids are those of the whole. Only where 8,192
 * characters have no such place is a word cut inside.
 *
 * @param prefixed whether the tokenizer puts a space before every text, as SentencePiece models do; it
 * then stands for the one that a part would begin with.
 */
export function textParts(text: string, prefixed: boolean): string[] {
  const parts: string[] = [];
  let start = 0;
  while (text.length - start > PART_LENGTH) {
    const end = lastBoundary(text, start + PART_LENGTH / 2, start + PART_LENGTH);
    parts.push(text.slice(start, end));
    start = prefixed && text[end] === " " ? end + 1 : end;
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

/** Text from the wire, made safe to print. */

/** Longest message, in characters, that is sent or taken. */
const MAX_MESSAGE = 1024;
const MAX_WORD = 64;

/** A message: no control or direction characters, at most 1,024 characters. */
export function plainText(text: string): string {
  return plain(text, MAX_MESSAGE);
}

/** A name or a version: likewise, at most 64 characters. */
export function plainWord(text: string): string {
  return plain(text, MAX_WORD);
}

function plain(text: string, limit: number): string {
  const bounded = text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
  return bounded
    .replace(/[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu, " ")
    .toWellFormed();
}

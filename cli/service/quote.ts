/** How values are written in systemd's unit files; see systemd.syntax(7), systemd.service(5), systemd.unit(5). */

/** A word for a unit file: any text as it is, or one with systemd's specifiers in it, like "%S/mdi". */
export type Word = string | { specifiers: string };

/** What needs no quotes in any list of words. */
const PLAIN = /^[\w./:=,@+-]+$/;

/**
 * Writes words for a list, as of `ExecStart=`, `Environment=` and `ReadWritePaths=`. A `%` of a text is doubled. A
 * `$` stays as it is: only `ExecStart=` would replace it, and does not after the prefix ":".
 * @throws {RangeError} where a word has a character that no line of a unit can have.
 */
export function quoteWords(words: readonly Word[]): string {
  return words.map(quoteWord).join(" ");
}

function quoteWord(word: Word): string {
  const text = typeof word === "string" ? word.replaceAll("%", "%%") : word.specifiers;
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x1f\x7f]/.test(text)) {
    throw new RangeError(
      `Cannot write ${
        JSON.stringify(text)
      } into a unit file: it has a control character; leave it out`,
    );
  }
  if (!text.isWellFormed()) {
    throw new RangeError("Cannot write what is no Unicode text into a unit file: leave it out");
  }
  return PLAIN.test(text.replaceAll("%", "")) && text !== ""
    ? text
    : `"${text.replace(/["\\]/g, "\\$&")}"`;
}

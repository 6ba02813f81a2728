import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { quoteWords } from "./quote.ts";

/**
 * Splits a value as systemd does: extract_first_word() with EXTRACT_UNQUOTE and, where `escapes`, EXTRACT_CUNESCAPE;
 * then specifiers. Lists of paths are split without C escapes, where a backslash stands before any character.
 */
function systemdWords(value: string, escapes: boolean): string[] {
  const words: string[] = [];
  let at = 0;
  while (at < value.length) {
    if (/\s/.test(value[at]!)) {
      at++;
      continue;
    }
    let word = "";
    let quote = "";
    for (; at < value.length && (quote || !/\s/.test(value[at]!)); at++) {
      const character = value[at]!;
      if (character === "\\") {
        at++;
        if (escapes && !`"'\\`.includes(value[at]!)) throw new Error(`\\${value[at]}`);
        word += value[at];
      } else if (quote === "" && (character === '"' || character === "'")) quote = character;
      else if (character === quote) quote = "";
      else word += character;
    }
    if (quote) throw new Error("unbalanced quotes");
    words.push(word.replace(/%(.?)/g, (_, specifier: string) => {
      if (specifier === "%") return "%";
      if (specifier === "S") return "/state";
      throw new Error(`%${specifier}`);
    }));
  }
  return words;
}

const word = fc.string({ unit: fc.constantFrom(..."ab /%$\"'\\;#=:{}üé😀-") });
const anyText = fc.string({ unit: "binary" }).filter((text) =>
  // deno-lint-ignore no-control-regex
  text.isWellFormed() && !/[\x00-\x1f\x7f]/.test(text)
);

Deno.test("quoteWords() is read back by systemd's rules, whatever the words", () => {
  fc.assert(fc.property(fc.array(fc.oneof(word, anyText)), (words) => {
    const value = quoteWords(words);
    assertEquals(systemdWords(value, true), words);
    assertEquals(systemdWords(value, false), words);
    // No word is one of the semicolons that part commands, and none begins a comment or goes on in the next line.
    const bare = words.some((word) => quoteWords([word]) === ";");
    if (bare || /^[#;]|\\$/.test(value)) throw new Error(value);
  }));
});

Deno.test("quoteWords() leaves specifiers to systemd where they are meant", () => {
  assertEquals(quoteWords([{ specifiers: "MDI_HOME=%S/mdi" }]), "MDI_HOME=%S/mdi");
  assertEquals(systemdWords(quoteWords([{ specifiers: "a b=%S" }]), true), ["a b=/state"]);
  assertEquals(quoteWords(["100%", "a b", '"', ""]), '100%% "a b" "\\"" ""');
});

Deno.test("quoteWords() refuses what no line can have", () => {
  for (const text of ["a\nExecStart=/bin/sh", "\0", "\x7f", "\t", "\ud800"]) {
    assertThrows(() => quoteWords([text]), RangeError, "Cannot write");
  }
});

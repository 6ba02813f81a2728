/** HTML from a template: what is put in is escaped, unless it is HTML already. */
import { printable } from "../output.ts";

/** A piece of HTML. */
export class Html {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

/** What a template takes. */
export type HtmlValue = string | number | Html | undefined | readonly HtmlValue[];

/** Puts values into a template: texts are escaped, arrays are joined, undefined is nothing. */
export function html(strings: TemplateStringsArray, ...values: HtmlValue[]): Html {
  return new Html(
    strings.map((text, i) => text + (i < values.length ? of(values[i]) : "")).join(""),
  );
}

function of(value: HtmlValue): string {
  if (value === undefined) return "";
  if (value instanceof Html) return value.toString();
  if (typeof value === "object") return value.map(of).join("");
  return escapeHtml(String(value));
}

/** A text as HTML shows it, in an element or in a quoted attribute; control characters are replaced. */
export function escapeHtml(text: string): string {
  return printable(text)
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}

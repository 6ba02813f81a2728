/** Types of options, for callers whose compiler does not check them. */

/** What an option must be. */
export type OptionType =
  | "text"
  | "path"
  | "number"
  | "boolean"
  | "function"
  | "signal"
  | "texts"
  | "counts";

const WORDS: Readonly<Record<OptionType, string>> = {
  text: "a text",
  path: "a text that is not empty",
  number: "a number",
  boolean: "true or false",
  function: "a function",
  signal: "an AbortSignal",
  texts: "a text or an array of texts",
  counts: "a text or an array of numbers",
};

/**
 * Refuses options that are there and of another type than they must be; whoever uses one checks its value.
 * No value is shown, as it may be a token.
 * @throws {TypeError} naming the option.
 */
export function requireTypes<T extends object>(
  options: T,
  types: Partial<Record<keyof T, OptionType>>,
): void {
  for (const [name, type] of Object.entries(types) as [string, OptionType][]) {
    const value = (options as Record<string, unknown>)[name];
    if (value === undefined || isOf(type, value)) continue;
    throw new TypeError(
      `Cannot use option "${name}": it is ${describe(value)}, and must be ${WORDS[type]}`,
    );
  }
}

function isOf(type: OptionType, value: unknown): boolean {
  switch (type) {
    case "text":
      return typeof value === "string";
    case "path":
      return typeof value === "string" && value !== "";
    case "boolean":
      return typeof value === "boolean";
    case "number":
      return typeof value === "number";
    case "function":
      return typeof value === "function";
    case "texts":
      return typeof value === "string" ||
        Array.isArray(value) && value.every((each) => typeof each === "string");
    case "counts":
      return typeof value === "string" ||
        Array.isArray(value) && value.every((each) => typeof each === "number");
    case "signal":
      return value instanceof AbortSignal;
  }
}

function describe(value: unknown): string {
  if (value === "") return "empty";
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `of type ${typeof value}`;
}

/** Fields of a JSON object that a person wrote: each is checked as it is read, and named where it is wrong. */

/** One object's fields. Names of prototypes are fields like any other: only own ones are read. */
export class JsonFields {
  readonly #object: object;
  readonly #path: string;
  readonly #read = new Set<string>();

  /**
   * Reads an object's fields.
   * @param path What leads to it in messages; "" for the file itself.
   */
  constructor(object: object, path: string) {
    this.#object = object;
    this.#path = path;
  }

  /** How messages name a field. */
  path(name: string): string {
    return this.#path === "" ? name : `${this.#path}.${name}`;
  }

  /** Whether the object has the field. */
  has(name: string): boolean {
    return Object.hasOwn(this.#object, name);
  }

  /**
   * A field as it is; the default where it is absent.
   * @param wanted what it is to be, in words.
   */
  value(name: string, wanted: string, absent?: unknown): unknown {
    this.#read.add(name);
    if (this.has(name)) return Reflect.get(this.#object, name);
    if (absent !== undefined) return absent;
    throw new RangeError(
      `Cannot read the what-if file: ${this.path(name)} is missing; give ${wanted}`,
    );
  }

  /** A number within bounds. */
  number(name: string, min: number, max: number, absent?: number): number {
    const wanted = `a number from ${min} to ${max}`;
    const value = this.value(name, wanted, absent);
    if (typeof value === "number" && value >= min && value <= max) return value;
    throw this.refusal(name, `it is ${shown(value)}; give ${wanted}`);
  }

  /** A whole number within bounds. */
  whole(name: string, min: number, max: number, absent?: number): number {
    const value = this.number(name, min, max, absent);
    if (Number.isInteger(value)) return value;
    throw this.refusal(name, `it is ${value}; give a whole number`);
  }

  /** A text that is not empty and fits in a line. */
  text(name: string, maxLength: number): string {
    const wanted = `a text of 1 to ${maxLength} characters`;
    const value = this.value(name, wanted);
    if (typeof value !== "string" || value === "" || value.length > maxLength) {
      throw this.refusal(name, `it is ${shown(value)}; give ${wanted}`);
    }
    if (!/\p{Cc}/u.test(value)) return value;
    throw this.refusal(name, `it is ${shown(value)}; give a text without control characters`);
  }

  /** One of some texts. */
  choice<T extends string>(name: string, choices: readonly T[], absent: T): T {
    const wanted = `one of ${choices.join(", ")}`;
    const value = this.value(name, wanted, absent);
    const choice = choices.find((each) => each === value);
    if (choice !== undefined) return choice;
    throw this.refusal(name, `it is ${shown(value)}; give ${wanted}`);
  }

  /** An object. */
  object(name: string): JsonFields {
    return fieldsOf(this.value(name, "an object"), this.path(name));
  }

  /** A list of objects. */
  list(name: string, min: number, max: number): JsonFields[] {
    const value = this.value(name, `a list of ${min} to ${max}`);
    if (!Array.isArray(value)) throw this.refusal(name, `it is ${shown(value)}; give a list`);
    if (value.length < min || value.length > max) {
      throw this.refusal(name, `it has ${value.length} entries; give ${min} to ${max}`);
    }
    return value.map((each, i) => fieldsOf(each, `${this.path(name)}[${i}]`));
  }

  /** The error that says what is wrong with a field. */
  refusal(name: string, why: string): RangeError {
    return new RangeError(`Cannot use ${this.path(name)} of the what-if file: ${why}`);
  }

  /** One line for each field that nothing has read. */
  unread(): string[] {
    return Object.keys(this.#object).filter((name) => !this.#read.has(name)).map((name) =>
      `${this.path(name.length > 64 ? `${name.slice(0, 64)}…` : name)} is not a field that is used`
    );
  }
}

/**
 * Fields of a value that must be an object.
 * @param path What messages call it.
 * @throws {RangeError} where it is none.
 */
export function fieldsOf(value: unknown, path: string): JsonFields {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    return new JsonFields(value, path);
  }
  const what = path === "" ? "the what-if file" : `${path} of the what-if file`;
  throw new RangeError(`Cannot use ${what}: it is ${shown(value)}; give an object`);
}

function shown(value: unknown): string {
  // JSON knows neither Infinity, which 1e999 is read as, nor undefined.
  const text = typeof value === "number" ? `${value}` : JSON.stringify(value) ?? "missing";
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

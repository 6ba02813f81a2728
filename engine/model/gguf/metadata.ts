/** Typed look-ups in a GGUF file's metadata, each value checked. */
import { MdiError } from "../../../wasm/error.ts";
import type { GgufValue } from "./reader.ts";

/** Bounds of a number. */
export interface NumberBounds {
  min: number;
  max: number;
  /** Whether fractions are allowed. @default false */
  fraction?: boolean;
}

/** Metadata of one file; keys may start with "$", which stands for the architecture's name. */
export class GgufMetadata {
  /** "llama", "qwen2" … */
  readonly architecture: string;
  readonly #values: ReadonlyMap<string, GgufValue>;
  readonly #file: string;

  /** @throws {MdiError} model_corrupt where the metadata names no architecture. */
  constructor(values: ReadonlyMap<string, GgufValue>, file: string) {
    this.#values = values;
    this.#file = file;
    this.architecture = this.string("general.architecture") ?? "";
    if (this.architecture === "") throw this.#bad("general.architecture", undefined);
  }

  /** The value of a key, or undefined. */
  get(key: string): GgufValue | undefined {
    return this.#values.get(key.replace(/^\$/, this.architecture));
  }

  /** A string, or undefined where there is none. */
  string(key: string): string | undefined {
    const value = this.get(key);
    if (value !== undefined && typeof value !== "string") throw this.#bad(key, value);
    return value;
  }

  /** A boolean, or undefined where there is none. */
  boolean(key: string): boolean | undefined {
    const value = this.get(key);
    if (value !== undefined && typeof value !== "boolean") throw this.#bad(key, value);
    return value;
  }

  /** A number within bounds, or undefined where there is none. */
  number(key: string, bounds: NumberBounds): number | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    const number = typeof value === "bigint" ? Number(value) : value;
    if (
      typeof number !== "number" || !(number >= bounds.min && number <= bounds.max) ||
      (!bounds.fraction && !Number.isInteger(number))
    ) throw this.#bad(key, value);
    return number;
  }

  /** A number that must be there. */
  required(key: string, bounds: NumberBounds): number {
    const value = this.number(key, bounds);
    if (value === undefined) throw this.#bad(key, undefined);
    return value;
  }

  #bad(key: string, value: GgufValue | undefined): MdiError {
    const name = key.replace(/^\$/, this.architecture ?? "");
    const met = value === undefined
      ? "is missing"
      : `is ${
        Array.isArray(value) ? `an array of ${value.length}` : JSON.stringify(String(value))
      }`;
    return new MdiError("model_corrupt", `Cannot use GGUF file ${this.#file}: ${name} ${met}`, {
      details: { file: this.#file, key: name },
    });
  }
}

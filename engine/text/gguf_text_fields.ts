/** The part of a GGUF file's metadata that describes its texts. */
import { MdiError } from "../../wasm/error.ts";
import type { GgufValue } from "../model/gguf/reader.ts";

/** More pieces than any vocabulary has; a longer list is refused before it is worked on. */
const MAX_TOKENS = 2 ** 22;
/** A chat template longer than this is refused: real ones are below 20 KB. */
const MAX_TEMPLATE = 2 ** 20;

/** Typed look-ups in the metadata that describes texts, each value checked. */
export class GgufTextFields {
  readonly #metadata: ReadonlyMap<string, GgufValue>;

  /** Looks in the metadata of one file. */
  constructor(metadata: ReadonlyMap<string, GgufValue>) {
    this.#metadata = metadata;
  }

  /** A text, or undefined where there is none. */
  text(key: string): string | undefined {
    const value = this.#metadata.get(key);
    if (value === undefined || typeof value === "string") return value;
    throw this.corrupt(key, "it is not a text");
  }

  /** A boolean, or undefined where there is none. */
  flag(key: string): boolean | undefined {
    const value = this.#metadata.get(key);
    if (value === undefined || typeof value === "boolean") return value;
    throw this.corrupt(key, "it is not true or false");
  }

  /** A token id; one past the vocabulary means none, as some converters write -1 as unsigned. */
  id(key: string, vocab: number): number | undefined {
    const value = this.#metadata.get(key);
    if (value === undefined) return undefined;
    if (typeof value !== "number" && typeof value !== "bigint") {
      throw this.corrupt(key, "it is not a number");
    }
    const id = Number(value);
    return Number.isInteger(id) && id >= 0 && id < vocab ? id : undefined;
  }

  /** A list of texts, or undefined where there is none. */
  texts(key: string): string[] | undefined {
    const value = this.#list(key);
    if (value === undefined) return undefined;
    if (!value.every((item): item is string => typeof item === "string")) {
      throw this.corrupt(key, "it holds other things than texts");
    }
    return value;
  }

  /** A list of `length` numbers, or undefined where there is none. */
  numbers(key: string, length: number): number[] | undefined {
    const value = this.#list(key);
    if (value === undefined) return undefined;
    if (value.length !== length) {
      throw this.corrupt(key, `it has ${value.length} entries for ${length} tokens`);
    }
    if (!value.every((item): item is number => typeof item === "number" && !Number.isNaN(item))) {
      throw this.corrupt(key, "it holds other things than numbers");
    }
    return value;
  }

  /** One template, or several by name as transformers stores them. */
  chatTemplate(): string | { name: string; template: string }[] | undefined {
    const main = this.#template("tokenizer.chat_template");
    const names = this.texts("tokenizer.chat_templates") ?? [];
    if (names.length === 0) return main;
    const named = main === undefined ? [] : [{ name: "default", template: main }];
    for (const name of names) {
      const template = this.#template(`tokenizer.chat_template.${name}`);
      if (template !== undefined) named.push({ name, template });
    }
    return named;
  }

  /** The error for a value that cannot be used. */
  corrupt(key: string, why: string): MdiError {
    return new MdiError(
      "model_corrupt",
      `Cannot read ${key} of the GGUF file: ${why}; fetch the model again`,
      { details: { key } },
    );
  }

  #template(key: string): string | undefined {
    const template = this.text(key);
    if (template === undefined || template.length <= MAX_TEMPLATE) return template;
    throw this.corrupt(key, `it has ${template.length} characters, over ${MAX_TEMPLATE}`);
  }

  #list(key: string): GgufValue[] | undefined {
    const value = this.#metadata.get(key);
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) throw this.corrupt(key, "it is not a list");
    if (value.length > MAX_TOKENS) {
      throw this.corrupt(key, `it has ${value.length} entries, over ${MAX_TOKENS}`);
    }
    return value;
  }
}

/** JSON files of a model, read as what they are: text of a stranger. */
import { basename } from "node:path";
import { MdiError, messageOf } from "../../../wasm/error.ts";

/** Largest config. The largest vocabularies make tokenizer.json some 40 MB. */
const MAX_BYTES = 128 * 2 ** 20;

/**
 * Reads a JSON object; undefined where there is no such file. Keys named `__proto__` are dropped.
 * @throws {MdiError} model_corrupt where it is too long or not a JSON object.
 */
export async function readJsonFile(path: string): Promise<Record<string, unknown> | undefined> {
  const text = await readTextFile(path, MAX_BYTES);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = text.includes("__proto__")
      ? JSON.parse(text, (key, value) => key === "__proto__" ? undefined : value)
      : JSON.parse(text);
  } catch (cause) {
    throw corrupt(path, `it is not JSON (${messageOf(cause)})`, cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw corrupt(path, "it is not a JSON object");
  }
  return value as Record<string, unknown>;
}

/**
 * Reads a text file of at most `maxBytes`; undefined where there is none.
 * @throws {MdiError} model_corrupt where it is longer.
 */
export async function readTextFile(path: string, maxBytes: number): Promise<string | undefined> {
  try {
    const { size } = await Deno.stat(path);
    if (size > maxBytes) throw corrupt(path, `it has ${size} bytes, more than ${maxBytes}`);
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    throw error;
  }
}

function corrupt(path: string, why: string, cause?: unknown): MdiError {
  return new MdiError("model_corrupt", `Cannot read ${basename(path)}: ${why}; fetch it again`, {
    cause,
    details: { path },
  });
}

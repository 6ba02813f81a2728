/** Prompts as people give them: text, "-" for standard input, "@file". */
import { messageOf } from "../wasm/error.ts";

/** More than this is no prompt of any model that mdi runs. */
const MAX_PROMPT_BYTES = 64 * 2 ** 20;

/**
 * The text of a prompt argument.
 * @throws {RangeError} where it is empty, too long or not UTF-8.
 */
export async function readPrompt(argument: string): Promise<string> {
  if (argument === "-") {
    return checked(await readAll(Deno.stdin.readable, "standard input"), "standard input");
  }
  if (!argument.startsWith("@")) {
    if (argument.trim() === "") {
      throw new RangeError("Cannot use an empty prompt: give it some text");
    }
    return argument;
  }
  const path = argument.slice(1);
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (cause) {
    throw new RangeError(`Cannot read the prompt file "${path}": ${messageOf(cause)}`, { cause });
  }
  return checked(await readAll(file.readable, `file "${path}"`), `file "${path}"`);
}

async function readAll(stream: ReadableStream<Uint8Array>, what: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > MAX_PROMPT_BYTES) {
      throw new RangeError(
        `Cannot use a prompt of more than ${MAX_PROMPT_BYTES} bytes from ${what}`,
      );
    }
    chunks.push(chunk);
  }
  const out = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}

function checked(bytes: Uint8Array, what: string): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new RangeError(`Cannot use the prompt from ${what}: it is not UTF-8 text`, { cause });
  }
  // The newline that ends a file or a pipe is not part of the prompt.
  text = text.replace(/\r?\n$/, "");
  if (text.trim() === "") {
    throw new RangeError(`Cannot use an empty prompt from ${what}: give it some text`);
  }
  return text;
}

/**
 * Token ids as typed: "1,2,3".
 * @throws {RangeError}
 */
export function parseIds(text: string): number[] {
  const ids = text.split(",").map((part) => /^\s*\d+\s*$/.test(part) ? Number(part) : NaN);
  const bad = ids.findIndex((id) => !Number.isInteger(id) || id >= 2 ** 31);
  if (bad >= 0) {
    throw new RangeError(
      `Cannot use the prompt ids "${text}": "${text.split(",")[bad]}" is not a token id`,
    );
  }
  return ids;
}

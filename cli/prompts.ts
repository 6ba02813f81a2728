/** Prompts as people give them: text, "-" for standard input, "@file". */
import { messageOf } from "../wasm/error.ts";
import { typedPath } from "./typed_path.ts";

/** Whether standard input was a prompt already. */
let inputRead = false;

/** More than this is no prompt of any model that mdi runs. */
const MAX_PROMPT_BYTES = 64 * 2 ** 20;

/**
 * The text of a prompt argument.
 * @throws {RangeError} where it is empty, too long or not UTF-8.
 */
export async function readPrompt(argument: string): Promise<string> {
  if (argument === "-") {
    if (inputRead) {
      throw new RangeError('Cannot read standard input twice: give "-" once');
    }
    inputRead = true;
    return checked(await readAll(Deno.stdin.readable, "standard input"), "standard input");
  }
  if (!argument.startsWith("@")) {
    if (argument.trim() === "") {
      throw new RangeError("Cannot use an empty prompt: give it some text");
    }
    return argument;
  }
  const path = typedPath(argument.slice(1));
  const what = `file "${path}"`;
  try {
    const file = await Deno.open(path);
    return checked(await readAll(file.readable, what), what);
  } catch (cause) {
    if (cause instanceof RangeError) throw cause;
    throw new RangeError(
      `Cannot read the prompt file "${path}": ${
        messageOf(cause)
      }; a prompt that begins with @ can come from standard input, as --prompt -`,
      { cause },
    );
  }
}

async function readAll(stream: ReadableStream<Uint8Array>, what: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > MAX_PROMPT_BYTES) {
      throw new RangeError(
        `Cannot use the prompt from ${what}: it has more than ${MAX_PROMPT_BYTES} bytes; shorten it`,
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
    throw new RangeError(
      `Cannot use the prompt from ${what}: it is not UTF-8 text; convert it, for example with iconv`,
      { cause },
    );
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
  const parts = text.split(",");
  const bad = parts.find((part) => !/^\s*\d{1,10}\s*$/.test(part) || Number(part) >= 2 ** 31);
  if (bad === undefined) return parts.map(Number);
  throw new RangeError(
    `Cannot use the prompt ids "${shortened(text)}": "${
      shortened(bad)
    }" is not a token id; give whole numbers, like 1,2,3`,
  );
}

function shortened(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

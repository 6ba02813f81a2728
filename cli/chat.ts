/**
 * The chat on a terminal. Ctrl-C stops an answer; at the prompt it has to come twice, so that one meant
 * for an answer that has just ended does not end the program and with it the conversation.
 */
import { MdiError } from "../wasm/error.ts";
import type { Chat } from "../rpc/chat.ts";
import type { GenerateOptions, Ring } from "../rpc/ring.ts";
import { LineReader } from "./line_reader.ts";
import type { CommandContext } from "./program.ts";
import { summaryText } from "./summary.ts";

const HELP = `Type a message and Enter. Ctrl-C stops an answer.
/new starts over, /stats shows the figures so far, /help this text;
/exit or Ctrl-D ends. A message may begin with "/" after a space or as "//".
`;

/** Chats until the user has enough. */
export async function chatLoop(
  ring: Ring,
  options: GenerateOptions,
  system: string | undefined,
  context: CommandContext,
): Promise<void> {
  const { output, signal } = context;
  const { nodes } = ring.plan;
  if (!output.options.quiet) {
    output.text(
      `${ring.manifest.name} on ${nodes.length} ${nodes.length === 1 ? "node" : "nodes"}. ${HELP}`,
    );
  }
  using lines = new LineReader(Deno.stdin.readable, signal);
  const failed = ring.ended.then((reason) => {
    if (reason) throw reason;
    return undefined;
  });
  failed.catch(() => {});
  const start = () => ring.chat(system === undefined ? [] : [{ role: "system", content: system }]);
  let chat = start();
  try {
    while (true) {
      output.text("\n> ");
      const line = await Promise.race([nextLine(lines, context), failed]);
      switch (line?.trimEnd()) {
        case undefined:
          output.text("\n");
          return;
        case "/exit":
          return;
        case "":
          break;
        case "/help":
          output.text(HELP);
          break;
        case "/new":
          chat[Symbol.dispose]();
          chat = start();
          break;
        case "/stats":
          output.text(`${summaryText(await ring.summary(), output.columns)}\n`);
          break;
        default: {
          const message = messageIn(line!);
          if (message === undefined) output.text(unknownCommand(line!));
          else if (message !== "") await answer(chat, message, options, context);
        }
      }
    }
  } catch (error) {
    output.text("\n"); // what went wrong goes on a line of its own
    throw error;
  } finally {
    chat[Symbol.dispose]();
  }
}

/** What a line says to the model: all but commands, which begin with one "/"; undefined for these. */
export function messageIn(line: string): string | undefined {
  if (line.startsWith("/")) return line.startsWith("//") ? line.slice(1) : undefined;
  const text = line.trim();
  return text === "" || text.startsWith("/") ? text : line;
}

function unknownCommand(line: string): string {
  return `There is no ${line.trim()}; there are /new, /stats, /help and /exit.
A message may begin with "/" after a space or as "//".
`;
}

/** The next line, and what Ctrl-C does meanwhile. */
async function nextLine(
  lines: LineReader,
  { output, onInterrupt }: CommandContext,
): Promise<string | undefined> {
  let pressed = false;
  onInterrupt(() => {
    if (pressed) return false;
    pressed = true;
    output.text("\n(Ctrl-C once more ends, as do Ctrl-D and /exit)\n> ");
    return true;
  });
  try {
    return await lines.next();
  } finally {
    onInterrupt(undefined);
  }
}

async function answer(
  chat: Chat,
  line: string,
  options: GenerateOptions,
  { output, signal, onInterrupt }: CommandContext,
): Promise<void> {
  try {
    const generation = chat.send(line, { ...options, signal });
    onInterrupt(() => {
      generation.cancel();
      return true;
    });
    for await (const { text } of generation) output.text(text);
    const { finishReason, ids } = await generation.result;
    if (finishReason === "length") {
      output.text(` [cut after ${ids.length} tokens: --tokens N sets how many]`);
    }
    if (finishReason === "cancel") output.text(" [stopped]");
    output.text("\n");
  } catch (error) {
    // What is wrong with one message does not end the conversation.
    if (!(error instanceof MdiError && error.code === "context_exceeded")) throw error;
    output.text(`[${error.message}; /new starts over]\n`);
  } finally {
    onInterrupt(undefined);
  }
}

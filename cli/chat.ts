/** The chat on a terminal: Ctrl-C stops an answer, and at the prompt ends the program. */
import { MdiError } from "../wasm/error.ts";
import type { Chat, GenerateOptions, Ring } from "../rpc/ring.ts";
import { LineReader } from "./line_reader.ts";
import type { CommandContext } from "./program.ts";

const HELP = "Type a message. /new starts over, /exit or Ctrl-D ends, Ctrl-C stops an answer.\n";

/** Chats until the user has enough. */
export async function chatLoop(
  ring: Ring,
  options: GenerateOptions,
  system: string | undefined,
  context: CommandContext,
): Promise<void> {
  const { output, signal } = context;
  const start = () => ring.chat(system === undefined ? [] : [{ role: "system", content: system }]);
  let chat: Chat = start();
  using lines = new LineReader(Deno.stdin.readable, signal);
  const failed = ring.ended.then((reason) => {
    if (reason) throw reason;
    return undefined;
  });
  failed.catch(() => {});
  output.text(
    `${ring.manifest.name} on ${ring.plan.nodes.length} ${
      ring.plan.nodes.length === 1 ? "node" : "nodes"
    }. ${HELP}`,
  );
  try {
    while (true) {
      output.text("\n> ");
      const line = await Promise.race([lines.next(), failed]);
      if (line === undefined || line.trim() === "/exit") return;
      if (line.trim() === "") continue;
      if (line.trim() === "/new") {
        chat[Symbol.dispose]();
        chat = start();
        continue;
      }
      await answer(chat, line, options, context);
    }
  } finally {
    chat[Symbol.dispose]();
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
    const { finishReason } = await generation.result;
    if (finishReason === "length") output.text(" [cut: --tokens]");
    if (finishReason === "cancel") output.text(" [stopped]");
    output.text("\n");
  } catch (error) {
    // What is wrong with one message does not end the conversation.
    if (
      !(error instanceof MdiError && error.code === "context_exceeded") &&
      !(error instanceof RangeError)
    ) {
      throw error;
    }
    output.error(error.message);
    output.text("The conversation is too long: /new starts over.\n");
  } finally {
    onInterrupt(undefined);
  }
}

/** `mdi completions` and `mdi man`: what the command line itself tells shells and readers of manuals. */
import { VERSION } from "../rpc/version.ts";
import { bashCompletion } from "./manual/bash_completion.ts";
import { type CommandNode, commandTree, type WalkedCommand } from "./manual/command_tree.ts";
import { fishCompletion } from "./manual/fish_completion.ts";
import { manPage } from "./manual/man_page.ts";
import { zshCompletion } from "./manual/zsh_completion.ts";
import type { CommandContext } from "./program.ts";
import type { Shell } from "./setup_commands.ts";

const WRITERS: Record<Shell, (root: CommandNode) => string> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** Writes a shell's completions. */
export function completionsCommand(
  shell: Shell,
  program: WalkedCommand,
  { output }: CommandContext,
): void {
  const text = WRITERS[shell](commandTree(program));
  output.record({ type: "completions", shell, text });
  output.text(text);
}

/** Writes the manual page. */
export function manCommand(program: WalkedCommand, { output }: CommandContext): void {
  const text = manPage(commandTree(program), VERSION);
  output.record({ type: "man", text });
  output.text(text);
}

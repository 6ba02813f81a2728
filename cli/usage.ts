/** How mistakes on the command line are put into words. */
import type { CommanderError } from "@commander-js/extra-typings";

/**
 * What a mistake on the command line comes to, in one line.
 * @param command the name of the command that was meant; undefined for mdi's own options.
 */
export function usageMessage(error: CommanderError, command?: string): string {
  const text = error.message.replace(/^error: /, "").replaceAll("\n", " ").replace(/\.$/, "");
  const help = command === undefined ? "mdi --help" : `mdi ${command} --help`;
  const advice = text.includes("mdi ") ? "" : `; see "${help}"`;
  return `${text[0]!.toUpperCase()}${text.slice(1)}${advice}`;
}

/** What to say of a word that is no command, or where a command is wanted and no word is there. */
export function strayWord(
  parent: { commands: readonly { name(): string }[] },
  word?: string,
): string {
  const names = parent.commands.map((command) => command.name()).join(", ");
  if (word === undefined) return `say which: ${names}`;
  return `there is no command "${word.slice(0, 200)}"; there are ${names}`;
}

/** The flags that were given, as they are typed, without some. */
export function flagNames(options: Record<string, unknown>, without: readonly string[]): string[] {
  return Object.keys(options).filter((key) => !without.includes(key)).map((key) =>
    `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
  );
}

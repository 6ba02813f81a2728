/** How mistakes on the command line are put into words. */
import type { CommanderError } from "@commander-js/extra-typings";

/** What a command takes, as far as it helps to guess what was meant. */
export interface Takes {
  name(): string;
  /** The words that it was given. */
  readonly args: readonly string[];
  readonly options: readonly { readonly long?: string | undefined }[];
}

/**
 * What a mistake on the command line comes to, in one line.
 * @param command the command that was meant; undefined for mdi's own options.
 */
export function usageMessage(error: CommanderError, command?: Takes): string {
  const text = error.message.replace(/^error: /, "").replaceAll("\n", " ").replace(/\.$/, "");
  const peers = error.code === "commander.excessArguments" && takes(command, "--peers");
  const guess = peers ? `; did you mean --peers ${command!.args.join(",").slice(0, 200)}?` : "";
  const help = command === undefined ? "mdi --help" : `mdi ${command.name()} --help`;
  const advice = text.includes("mdi ") ? "" : `; see "${help}"`;
  return `${text[0]!.toUpperCase()}${text.slice(1)}${guess}${advice}`;
}

/** What to say of a word that is no command, or where a command is wanted and no word is there. */
export function strayWord(
  parent: Pick<Takes, "options"> & { commands: readonly Pick<Takes, "name">[] },
  word?: string,
): string {
  const names = parent.commands.map((command) => command.name()).join(", ");
  if (word === undefined) return `say which: ${names}`;
  const flag = `--${word}`;
  const guess = flag === "--help" || takes(parent, flag) ? `; did you mean ${flag}?` : "";
  return `there is no command "${word.slice(0, 200)}"; there are ${names}${guess}`;
}

function takes(command: Pick<Takes, "options"> | undefined, flag: string): boolean {
  return command?.options.some(({ long }) => long === flag) ?? false;
}

/** The flags that were given, as they are typed, without some. */
export function flagNames(options: Record<string, unknown>, without: readonly string[]): string[] {
  return Object.keys(options).filter((key) => !without.includes(key)).map((key) =>
    `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
  );
}

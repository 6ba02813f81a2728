/** What shells ask of the command tree, in the same form for all of them. */
import { allCommands, type ArgumentNode, type CommandNode, isPath } from "./command_tree.ts";

/** What can stand where a value is wanted. */
export type Value = { words: readonly string[] } | { files: true } | { other: true };

/** A flag that takes a value, at a command. */
export interface ValueFlag {
  /** The words of the command, joined by spaces. */
  at: string;
  name: string;
  value: Value;
}

/** The words that lead to a command, joined by spaces. */
export function pathOf({ path }: CommandNode): string {
  return path.join(" ");
}

/** Every flag that takes a value, under each of its names. */
export function valueFlags(root: CommandNode): ValueFlag[] {
  return [...allCommands(root)].flatMap((command) =>
    command.flags.flatMap(({ names, value, choices }) =>
      value === undefined
        ? []
        : names.map((name) => ({ at: pathOf(command), name, value: valueOf(value, choices) }))
    )
  );
}

/** What a command's first argument can be. */
export function argumentOf({ arguments: [first] }: CommandNode): Value {
  return first ? argumentValue(first) : { other: true };
}

/** What a value can be, by what it is called and its choices. */
export function valueOf(name: string, choices: readonly string[] | undefined): Value {
  if (choices) return { words: choices };
  return isPath(name) ? { files: true } : { other: true };
}

function argumentValue({ name, choices, required }: ArgumentNode): Value {
  // One that must be given is a stored model's name, no file.
  return required && !choices ? { other: true } : valueOf(name, choices);
}

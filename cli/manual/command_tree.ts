/** The command line as data, from commander's own tree: what completions and the manual page are made from. */
import { type CommandExamples, EXAMPLES } from "./examples.ts";

/** A flag. */
export interface FlagNode {
  /** As help shows it: "-h, --help", "--wire <form>". */
  flags: string;
  /** Its names as they are typed, the short one first. */
  names: string[];
  /** What its value is called, like "file"; undefined where it takes none. */
  value: string | undefined;
  /** The only values that it takes; undefined where it takes others. */
  choices: readonly string[] | undefined;
  description: string;
  /** The heading that it stands under. */
  group: string;
}

/** An argument without a dash. */
export interface ArgumentNode {
  name: string;
  required: boolean;
  choices: readonly string[] | undefined;
}

/** A command and those below it. */
export interface CommandNode {
  /** The words that it is typed as: ["mdi", "store", "list"]. */
  path: string[];
  /** One line. */
  summary: string;
  description: string;
  arguments: ArgumentNode[];
  flags: FlagNode[];
  commands: CommandNode[];
  /** Its examples; undefined where it has none. */
  examples: CommandExamples | undefined;
}

/** What is read of commander's commands. */
export interface WalkedCommand {
  name(): string;
  summary(): string;
  description(): string;
  readonly commands: readonly WalkedCommand[];
  readonly registeredArguments: readonly {
    name(): string;
    readonly required: boolean;
    readonly argChoices?: readonly string[] | undefined;
  }[];
  createHelp(): { visibleOptions(command: WalkedCommand): WalkedOption[] };
}

interface WalkedOption {
  readonly flags: string;
  readonly short?: string | undefined;
  readonly long?: string | undefined;
  readonly description: string;
  readonly argChoices?: readonly string[] | undefined;
  readonly helpGroupHeading?: string | undefined;
}

/** Walks a command and all below it. */
export function commandTree(command: WalkedCommand, above: readonly string[] = []): CommandNode {
  const path = [...above, command.name()];
  return {
    path,
    summary: command.summary() || command.description(),
    description: command.description(),
    arguments: command.registeredArguments.map((argument) => ({
      name: argument.name(),
      required: argument.required,
      choices: argument.argChoices,
    })),
    flags: command.createHelp().visibleOptions(command).map(flagNode),
    commands: command.commands.map((each) => commandTree(each, path)),
    examples: EXAMPLES[path.join(" ")],
  };
}

/** A command and all below it, in order. */
export function* allCommands(command: CommandNode): Generator<CommandNode> {
  yield command;
  for (const each of command.commands) yield* allCommands(each);
}

/** Whether a value is a file or a directory, by what it is called. */
export function isPath(value: string | undefined): boolean {
  return value !== undefined && /\b(file|dir|path|model)\b/.test(value);
}

function flagNode(option: WalkedOption): FlagNode {
  const { flags, short, long, description, argChoices, helpGroupHeading } = option;
  return {
    flags,
    names: [short, long].filter((name) => name !== undefined),
    value: /[<[]([^>\]]+)[>\]]/.exec(flags)?.[1],
    choices: argChoices,
    description,
    group: helpGroupHeading ?? "Options:",
  };
}

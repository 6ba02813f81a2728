/** The manual page mdi(1), in the man macros of roff; see groff_man(7). */
import { allCommands, type CommandNode, type FlagNode } from "./command_tree.ts";
import type { Example } from "./examples.ts";

/**
 * Writes the page of a command and all below it.
 * @param version of the program, for the page's foot.
 */
export function manPage(root: CommandNode, version: string): string {
  const name = root.path[0]!;
  const below = [...allCommands(root)].slice(1);
  return [
    `.TH ${name.toUpperCase()} 1 "" "${name} ${escape(version)}" "User Commands"`,
    ".SH NAME",
    `${name} \\- ${escape(lowerFirst(root.description).replace(/\.$/, ""))}`,
    ".SH SYNOPSIS",
    ...[root, ...below].flatMap((command) =>
      command !== root && command.commands.length > 0 ? [] : [synopsis(command), ".br"]
    ).slice(0, -1),
    ".SH OPTIONS",
    ...flagLines(root.flags),
    ".SH COMMANDS",
    ...below.flatMap(commandLines),
    ".SH EXAMPLES",
    ...exampleLines(root.examples?.examples ?? []),
    ...root.examples?.after ? textBlock(root.examples.after) : [],
    ".SH ENVIRONMENT",
    ...tagged(
      "MDI_HOME",
      "The node's directory: its store, and the file token. Default: ~/.cache/mdi",
    ),
    ...tagged("MDI_TOKEN", "The ring's token, where --token does not give it."),
    "",
  ].join("\n");
}

function synopsis({ path, arguments: values }: CommandNode): string {
  const words = values.map(({ name, required }) =>
    required ? `\\fI${escape(name)}\\fR` : `[\\fI${escape(name)}\\fR]`
  );
  return [`\\fB${escape(path.join(" "))}\\fR`, "[\\fIoptions\\fR]", ...words].join(" ");
}

function commandLines(command: CommandNode): string[] {
  const { path, description, flags, examples, commands } = command;
  return [
    `.SS ${escape(path.join(" "))}`,
    ...paragraphs(description),
    // A command that only has others below has no flags worth a line.
    ...commands.length > 0 ? [] : flagLines(flags.filter(({ names }) => !names.includes("--help"))),
    ...examples?.before === undefined ? [] : textBlock(examples.before),
    ...commands.length > 0 || !examples
      ? []
      : [".PP", "Examples:", ...exampleLines(examples.examples)],
    ...examples?.after === undefined ? [] : textBlock(examples.after),
  ];
}

function flagLines(flags: readonly FlagNode[]): string[] {
  let group = "Options:";
  return flags.flatMap((flag) => {
    const heading = flag.group === group ? [] : [".PP", escape(flag.group)];
    group = flag.group;
    return [...heading, ...tagged(flagName(flag), sentence(flag))];
  });
}

function flagName({ names, value }: FlagNode): string {
  const typed = names.join(", ");
  return value === undefined ? typed : `${typed} <${value}>`;
}

function sentence({ description, choices }: FlagNode): string {
  return choices ? `${description} (${choices.join(", ")})` : description;
}

/** A term and what it means. */
function tagged(term: string, text: string): string[] {
  const [name, value] = term.split(" <");
  const shown = value === undefined
    ? `.B ${escape(name!)}`
    : `.BI "${escape(name!)} " "<${escape(value)}"`;
  return [".TP", shown, escape(text)];
}

function exampleLines(examples: readonly Example[]): string[] {
  return examples.flatMap(([line, does]) => [".TP", `.B ${escape(line)}`, escape(does)]);
}

function paragraphs(text: string): string[] {
  return text.split("\n").map(escape);
}

/** Lines as they are. */
function textBlock(text: string): string[] {
  return [".PP", ".nf", ...text.split("\n").map(escape), ".fi"];
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

/** Text as roff prints it: no line of it is a request, no character another. */
function escape(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll('"', "\\(dq")
    .replaceAll("'", "\\(aq")
    .replaceAll("`", "\\(ga")
    .replaceAll("~", "\\(ti")
    .replaceAll("^", "\\(ha")
    .replace(
      /[^\x20-\x7e\n]/gu,
      (character) =>
        `\\[u${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}]`,
    )
    .replace(/^(?=[.'])/gm, "\\&");
}

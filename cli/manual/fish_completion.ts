/** Completions for fish; see complete(1) of fish. */
import { allCommands, type CommandNode, type FlagNode } from "./command_tree.ts";
import { argumentOf, pathOf, type Value, valueFlags, valueOf } from "./completion_cases.ts";

/** Writes the file for a directory of `$fish_complete_path`. */
export function fishCompletion(root: CommandNode): string {
  const name = root.path[0]!;
  const commands = [...allCommands(root)];
  const below = commands.slice(1).map((command) => quoted(pathOf(command)));
  const taking = valueFlags(root).map(({ at, name }) => quoted(`${at} ${name}`));
  return `# fish completion for ${name}, made by "${name} completions fish"
function __${name}_at
    set -l path ${name}
    set -l value 0
    for word in (commandline -opc)[2..-1]
        if test $value = 1
            set value 0
            continue
        end
        switch "$path $word"
            case ${below.join(" ")}
                set path "$path $word"
            case ${taking.join(" ")}
                set value 1
        end
    end
    test "$path" = "$argv"
end
complete -c ${name} -f
${commands.flatMap((command) => commandLines(name, command)).join("\n")}
`;
}

function commandLines(name: string, command: CommandNode): string[] {
  const start = `complete -c ${name} -n ${quoted(`__${name}_at ${pathOf(command)}`)}`;
  const lines = command.commands.map(({ path, summary }) =>
    `${start} -a ${quoted(path.at(-1)!)} -d ${quoted(summary)}`
  );
  lines.push(...command.flags.map((flag) => `${start} ${flagWords(flag)}`));
  const argument = argumentOf(command);
  if (command.arguments.length > 0 && !("other" in argument)) {
    lines.push(`${start} ${"words" in argument ? `-a ${offer(argument)}` : "-F"}`);
  }
  return lines;
}

function flagWords({ names, value, choices, description }: FlagNode): string {
  const typed = names.map((each) =>
    each.startsWith("--") ? `-l ${each.slice(2)}` : `-s ${each.slice(1)}`
  );
  return [...typed, ...takes(value, choices), "-d", quoted(description)].join(" ");
}

function takes(name: string | undefined, choices: readonly string[] | undefined): string[] {
  if (name === undefined) return [];
  const value = valueOf(name, choices);
  if ("files" in value) return ["-r", "-F"];
  return "words" in value ? ["-x", "-a", offer(value)] : ["-x"];
}

function offer(value: Value): string {
  return quoted("words" in value ? value.words.join(" ") : "");
}

function quoted(text: string): string {
  return `'${text.replace(/['\\]/g, "\\$&")}'`;
}

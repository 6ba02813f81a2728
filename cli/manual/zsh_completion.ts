/** Completions for zsh; see _arguments and _describe in zshcompsys(1). */
import { allCommands, type CommandNode, type FlagNode } from "./command_tree.ts";
import { argumentOf, type Value, valueOf } from "./completion_cases.ts";

/** Writes the file `_mdi` for a directory of `$fpath`. */
export function zshCompletion(root: CommandNode): string {
  const name = root.path[0]!;
  const functions = [...allCommands(root)].map(commandFunction);
  return `#compdef ${name}
# zsh completion for ${name}, made by "${name} completions zsh"

${functions.join("\n")}
if [[ $funcstack[1] == _${name} ]]; then
  _${name} "$@"
else
  compdef _${name} ${name}
fi
`;
}

function commandFunction(command: CommandNode): string {
  const { flags, commands, arguments: [first] } = command;
  const specs = flags.flatMap(flagSpecs);
  if (commands.length === 0) {
    if (first) {
      specs.push(
        quoted(`1${first.required ? "" : ":"}:${first.name}:${action(argumentOf(command))}`),
      );
    }
    return `${functionName(command)}() {\n  _arguments -s -S \\\n    ${
      specs.join(" \\\n    ")
    }\n}\n`;
  }
  const list = commands.map(({ path, summary }) =>
    quoted(`${path.at(-1)!.replaceAll(":", "\\:")}:${summary}`)
  );
  const cases = commands.map((each) => `    ${each.path.at(-1)}) ${functionName(each)} ;;`);
  return `${functionName(command)}() {
  local curcontext="$curcontext" state line
  typeset -A opt_args
  local -a commands=(
    ${list.join("\n    ")}
  )
  _arguments -s -S -C \\
    ${[...specs, quoted("1: :->command"), quoted("*:: :->rest")].join(" \\\n    ")}
  case $state in
  command) _describe -t commands command commands ;;
  rest)
    case $line[1] in
${cases.join("\n")}
    esac
    ;;
  esac
}
`;
}

function functionName({ path }: CommandNode): string {
  return `_${path.join("_")}`;
}

/** A specification for each name; where one is given, the other is not offered. */
function flagSpecs({ names, value, choices, description }: FlagNode): string[] {
  const others = /\brepeatable\b/.test(description) ? "*" : `(${names.join(" ")})`;
  const explanation = `[${description.replace(/[[\]:\\]/g, "\\$&")}]`;
  const argument = value === undefined
    ? ""
    : `:${value.replace(/[:\\]/g, "\\$&")}:${action(valueOf(value, choices))}`;
  return names.map((name) => {
    const equals = value !== undefined && name.startsWith("--") ? "=" : "";
    return quoted(`${others}${name}${equals}${explanation}${argument}`);
  });
}

function action(value: Value): string {
  if ("words" in value) return `(${value.words.join(" ")})`;
  return "files" in value ? "_files" : " ";
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

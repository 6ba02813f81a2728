/** Completions for bash 3.2 and later; see "Programmable Completion" in bash(1). */
import { allCommands, type CommandNode } from "./command_tree.ts";
import { argumentOf, pathOf, type Value, valueFlags } from "./completion_cases.ts";

/** Writes the script that a bash sources. */
export function bashCompletion(root: CommandNode): string {
  const name = root.path[0]!;
  const commands = [...allCommands(root)];
  const flags = valueFlags(root);
  const below = commands.slice(1).map((command) => quoted(pathOf(command)));
  const cases = flags.map(({ at, name, value }) =>
    `    ${quoted(`${at} ${name}`)}) ${offer(value)} return ;;`
  );
  return `# bash completion for ${name}, made by "${name} completions bash"
_${name}() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" flag="\${COMP_WORDS[COMP_CWORD-1]}"
  local path=${name} value="" word i
  COMPREPLY=()
  # "--flag=value" comes as three words.
  if [[ $cur == "=" ]]; then
    cur=""
  elif [[ $flag == "=" ]]; then
    flag="\${COMP_WORDS[COMP_CWORD-2]}"
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if [[ $word == "=" ]]; then continue; fi
    if [[ -n $value ]]; then value=""; continue; fi
    case "$path $word" in
    ${below.join(" | \\\n    ")}) path="$path $word" ;;
    ${flags.map(({ at, name }) => quoted(`${at} ${name}`)).join(" | \\\n    ")}) value=1 ;;
    esac
  done
  case "$path $flag" in
${cases.join("\n")}
  esac
  if [[ $cur == -* ]]; then
    case "$path" in
${
    commands.map((command) => `    ${quoted(pathOf(command))}) ${words(flagNames(command))} ;;`)
      .join("\n")
  }
    esac
    return
  fi
  case "$path" in
${commands.map((command) => `    ${quoted(pathOf(command))}) ${wordsAt(command)} ;;`).join("\n")}
  esac
}
complete -F _${name} ${name}
`;
}

function flagNames({ flags }: CommandNode): string[] {
  return flags.flatMap(({ names }) => names);
}

function wordsAt(command: CommandNode): string {
  return command.commands.length > 0
    ? words(command.commands.map(({ path }) => path.at(-1)!))
    : offer(argumentOf(command));
}

/** What fills COMPREPLY with what a value can be. */
function offer(value: Value): string {
  if ("words" in value) return words(value.words) + ";";
  if ("files" in value) {
    return `compopt -o filenames 2> /dev/null; local IFS=$'\\n'; COMPREPLY=($(compgen -f -- "$cur"));`;
  }
  return "";
}

function words(list: readonly string[]): string {
  return `COMPREPLY=($(compgen -W ${quoted(list.join(" "))} -- "$cur"))`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

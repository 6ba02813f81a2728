/** Commands in documents, held against the command line as it is. */
import type { Command } from "@commander-js/extra-typings";
import { codeBlocks } from "./documents.ts";

/** What starts mdi, and what it stands for. */
const STARTS: [start: RegExp, args: string][] = [
  [/^(?:sudo )?(?:\.\/)?mdi(?= |$)/, ""],
  [/^(?:npx -y deno@[\d.]+|deno) task mdi(?= |$)/, ""],
  [/^(?:npx -y deno@[\d.]+|deno) task (starter|secondary|demo)(?= |$)/, "--$1"],
];

/** A command of mdi as a document has it. */
export interface DocumentedCommand {
  /** What follows `mdi`. */
  args: string;
  /** Whether it is to be typed; in a sentence it may stop at a flag. */
  whole: boolean;
}

/** Every mdi command in a document: in blocks of shell or indented ones, and within the text. */
export function commandsIn(text: string): DocumentedCommand[] {
  const prose = text.replace(/^```.*?^```$/gms, "");
  const blocks = codeBlocks(text, "sh").flatMap((code) => code.replaceAll("\\\n", " ").split("\n"));
  const indented = [...prose.matchAll(/^ {4}(.+)$/gm)].map(([, line]) => line!);
  const inline = [...prose.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!);
  return [
    ...[...blocks, ...indented].flatMap(argumentsOf).map((args) => ({ args, whole: true })),
    ...inline.flatMap(argumentsOf).flatMap(alternatives).map((args) => ({ args, whole: false })),
  ];
}

function argumentsOf(line: string): string[] {
  for (const [start, role] of STARTS) {
    const match = start.exec(line);
    if (!match) continue;
    const rest = line.slice(match[0].length).replace(/ +#.*$/, "");
    return [(role.replace("$1", match[1] ?? "") + rest).trim()];
  }
  return [];
}

/** "store list|remove" is two commands. */
function alternatives(args: string): string[] {
  const [, before, words, after] = /^(.*?)([\w-]+(?:\|[\w-]+)+)(.*)$/.exec(args) ?? [];
  if (words === undefined) return [args];
  return words.split("|").map((word) => `${before}${word}${after}`);
}

/** Why a command is none of the program's; undefined where it is one. */
export function strangeCommand(
  program: Command,
  { args, whole }: DocumentedCommand,
): string | undefined {
  const words = [...args.matchAll(/(?:"[^"]*"|[^\s"]+)+/g)].map(([word]) => word);
  const path = [program];
  let values = 0;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const command = path.at(-1)!;
    if (word.startsWith("-") && word !== "-") {
      if (["--help", "-h", "--version"].includes(word)) continue;
      const option = path.toReversed().flatMap(({ options }) => options)
        .find(({ long }) => long === word);
      if (!option) return `mdi ${args}: no flag ${word}`;
      if (!option.required) continue;
      const value = words[++i];
      if (value === undefined && whole) return `mdi ${args}: ${word} takes a value`;
      if (value && option.argChoices?.includes(value) === false) return `mdi ${args}: ${value}`;
      continue;
    }
    const next = command.commands.find((each) => each.name() === word);
    if (next) path.push(next as Command);
    else if (++values > command.registeredArguments.length) return `mdi ${args}: ${word}`;
  }
}

/** Commands in documents, held against the command line as it is. */
import type { Command } from "@commander-js/extra-typings";
import { codeBlocks } from "./documents.ts";

/** What starts mdi, and what it stands for. */
const STARTS: [start: RegExp, args: string][] = [
  [/^(?:sudo )?(?:\.\/)?mdi(?= |$)/, ""],
  [/^(?:npx -y deno@[\d.]+|deno) task mdi(?= |$)/, ""],
  [/^(?:npx -y deno@[\d.]+|deno) task (starter|secondary|demo)(?= |$)/, "--$1"],
];

/** The arguments of every mdi command in a document: in blocks of shell, and in code within the text. */
export function commandsIn(text: string): string[] {
  const lines = codeBlocks(text, "sh").flatMap((block) =>
    block.replaceAll("\\\n", " ").split("\n")
  );
  const inline = [...text.replace(/^```.*?^```$/gms, "").matchAll(/`([^`\n]+)`/g)].map(([, it]) =>
    it!
  );
  return [...lines, ...inline].flatMap((line) => {
    for (const [start, args] of STARTS) {
      const match = start.exec(line);
      if (match) return [(args.replace("$1", match[1] ?? "") + line.slice(match[0].length)).trim()];
    }
    return [];
  });
}

/** Why a command is none of the program's; undefined where it is one. */
export function strangeCommand(program: Command, line: string): string | undefined {
  const words = [...line.replace(/ +#.*$/, "").matchAll(/(?:"[^"]*"|[^\s"]+)+/g)].map(([word]) =>
    word
  );
  let command: Command = program;
  const path: Command[] = [program];
  let left = 0;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word.startsWith("-") && word !== "-") {
      if (["--help", "-h", "--version"].includes(word)) continue;
      const option = path.flatMap(({ options }) => options).find(({ long }) => long === word);
      if (!option) return `mdi ${line}: no flag ${word}`;
      if (!option.required) continue;
      const value = words[++i];
      if (value === undefined) return `mdi ${line}: ${word} takes a value`;
      if (option.argChoices && !option.argChoices.includes(value)) return `mdi ${line}: ${value}`;
      continue;
    }
    const next = command.commands.find((each) => each.name() === word);
    if (next) {
      command = next as Command;
      path.push(command);
    } else if (++left > command.registeredArguments.length) {
      return `mdi ${line}: no command or argument ${word}`;
    }
  }
}

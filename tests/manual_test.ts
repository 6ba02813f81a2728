/** Completions and the manual page as shells and man take them; a shell that is not there is skipped. */
import { assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { runMdi } from "./support/mdi_process.ts";
import { isThere } from "./support/programs.ts";
import { temporaryDirectory } from "./support/refusal.ts";

interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

async function run(program: string, args: string[]): Promise<Ran> {
  const { code, stdout, stderr } = await new Deno.Command(program, { args }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** Writes what `mdi ...args` prints into a file. */
async function written(directory: string, name: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runMdi(args, { home: directory });
  assertEquals(code, 0, stderr);
  const path = join(directory, name);
  await Deno.writeTextFile(path, stdout);
  return path;
}

/** A test that needs a program, and says so where it is not there. */
function withProgram(program: string, name: string, fn: (directory: string) => Promise<void>) {
  const ignore = !isThere(program);
  Deno.test({
    name: ignore ? `${name} (no ${program} here)` : name,
    ignore,
    async fn() {
      await using directory = await temporaryDirectory();
      await fn(directory.path);
    },
  });
}

/** A line as it is typed up to the cursor, with bash's words of it, and what is offered. */
const OFFERS: [words: string[], offered: string][] = [
  [["mdi", "st"], "store"],
  [["mdi", "store", ""], "list verify remove"],
  [["mdi", "--log", "json", "store", "r"], "remove"],
  [["mdi", "--log", "=", "json", "store", "r"], "remove"],
  [["mdi", "--wire", ""], "f32 f16"],
  [["mdi", "--wire", "=", "f1"], "f16"],
  [["mdi", "plan", "--kv", "i"], "int8"],
  [["mdi", "service", "install", "--back"], "--backend"],
  [["mdi", "completions", ""], "bash zsh fish"],
  [["mdi", "--name", ""], ""],
];

withProgram("bash", "bash completes commands, flags, choices and files", async (directory) => {
  const script = await written(directory, "mdi.bash", "completions", "bash");
  assertEquals(await run("bash", ["-n", script]), { code: 0, stdout: "", stderr: "" });
  const complete =
    'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mdi; echo "${COMPREPLY[*]}"';
  for (const [words, offered] of OFFERS) {
    const { stdout, stderr } = await run("bash", ["-c", complete, script, ...words]);
    assertEquals([stdout.trimEnd(), stderr], [offered, ""], words.join(" "));
  }
  const spaced = join(directory, "my model.gguf");
  await Deno.writeTextFile(spaced, "");
  for (const words of [["mdi", "--model"], ["mdi", "pull"]]) {
    const args = ["-c", complete, script, ...words, join(directory, "my")];
    assertEquals((await run("bash", args)).stdout.trimEnd(), spaced);
  }
});

withProgram("fish", "fish completes commands, flags, choices and files", async (directory) => {
  const script = await written(directory, "mdi.fish", "completions", "fish");
  assertEquals((await run("fish", ["-n", script])).code, 0);
  for (const [words, offered] of OFFERS.filter(([words]) => !words.includes("="))) {
    const line = `source ${script}; complete -C '${words.join(" ")}'`;
    const { stdout } = await run("fish", ["-N", "-c", line]);
    const found = stdout.split("\n").map((each) => each.split("\t")[0]).filter(Boolean);
    assertEquals(found.toSorted(), offered.split(" ").filter(Boolean).toSorted(), line);
  }
});

withProgram("zsh", "zsh completes commands and choices", async (directory) => {
  const script = await written(directory, "_mdi", "completions", "zsh");
  assertEquals(await run("zsh", ["-n", script]), { code: 0, stdout: "", stderr: "" });
  // A zsh in a terminal of its own, in which somebody presses Tab.
  const session = `
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "fpath=(${directory} \\$fpath); autoload -U compinit; compinit -u -D; print READ\\Y"
zpty -r -m shell out '*READY*'
for line in 'mdi service ins' 'mdi --wire f1' 'mdi store verify --qui'; do
  zpty -w -n shell $'\\x15'"$line"$'\\t'
  sleep 0.4
  zpty -w -n shell ' END'
  zpty -r -m shell out '*END*'
  print -r -- "$out"
done
zpty -d shell`;
  const { stdout } = await run("zsh", ["-f", "-c", session]);
  // deno-lint-ignore no-control-regex
  const plain = stdout.replace(/\x1b\[[?\d;]*[A-Za-z]|[\x00-\x09\x0b-\x1f]/g, "");
  assertMatch(plain, /mdi service ins.*tall.*END/s);
  assertMatch(plain, /mdi --wire f1.*6.*END/s);
  assertMatch(plain, /verify --qui.*et.*END/s);
});

withProgram("groff", "groff formats the manual page without a warning", async (directory) => {
  const page = await written(directory, "mdi.1", "man");
  const { code, stdout, stderr } = await run("groff", ["-man", "-Tutf8", "-ww", page]);
  assertEquals([code, stderr], [0, ""]);
  // Bold is written as a letter over itself.
  // deno-lint-ignore no-control-regex
  const plain = stdout.replaceAll(/[^\n]\u{8}/gu, "");
  assertMatch(plain, /\nSYNOPSIS\n.*\n *--wire <form>\n.*\nEXAMPLES\n/s);
});

withProgram("man", "man shows the manual page", async (directory) => {
  const page = await written(directory, "mdi.1", "man");
  const { code, stdout } = await run("man", ["-P", "cat", "-l", page]);
  assertEquals(code, 0);
  assertMatch(stdout, /mdi - runs one language model/);
});

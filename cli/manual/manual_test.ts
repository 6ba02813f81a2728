import { assert, assertEquals, assertMatch } from "@std/assert";
import { createProgram } from "../program.ts";
import { bashCompletion } from "./bash_completion.ts";
import { allCommands, commandTree, isPath } from "./command_tree.ts";
import { EXAMPLES, examplesText } from "./examples.ts";
import { fishCompletion } from "./fish_completion.ts";
import { manPage } from "./man_page.ts";
import { zshCompletion } from "./zsh_completion.ts";

const output = { json: false, quiet: false, log: "text" as const };
const program = createProgram(() => Promise.resolve(), output);
const root = commandTree(program);
const commands = [...allCommands(root)];

Deno.test("commandTree() has every command, flag and choice", () => {
  const paths = commands.map(({ path }) => path.join(" "));
  for (const path of ["mdi", "mdi pull", "mdi store list", "mdi service install", "mdi man"]) {
    assert(paths.includes(path), path);
  }
  const flag = (name: string) => root.flags.find(({ names }) => names.includes(name));
  assertEquals(flag("--wire")?.choices, ["f32", "f16"]);
  assertEquals(flag("--trace")?.value, "file");
  assertEquals(flag("-h")?.names, ["-h", "--help"]);
  assertEquals(flag("--peers")?.group, "Ring:");
  assert(isPath("name|path") && isPath("dir") && isPath("model") && !isPath("host:port"));
});

Deno.test("every command has a description and an example that it takes", async () => {
  for (const { path, description, summary } of commands) {
    const name = path.join(" ");
    assert(description.length > 0 && summary.length <= 80, name);
    const { examples } = EXAMPLES[name] ?? { examples: [] };
    assert(examples.length > 0, `${name} has no example`);
    assertMatch(examplesText(name), /^\nExamples:\n|\n\nExamples:\n/);
    for (const [line] of examples) {
      assert(line.replace(/^sudo /, "").startsWith(name), line);
      await parses(line);
    }
  }
  const names = commands.map(({ path }) => path.join(" "));
  assertEquals(Object.keys(EXAMPLES).filter((name) => !names.includes(name)), []);
});

/** Parses a command line as a shell would split it, without what follows a pipe. */
async function parses(line: string): Promise<void> {
  const words = line.replace(/^sudo | [|>] .*$/g, "").match(/"[^"]*"|\S+/g)!
    .slice(1).map((word) => word.replaceAll('"', ""));
  if (words.includes("--help")) return;
  const fresh = createProgram(() => Promise.resolve(), output);
  await fresh.parseAsync(words, { from: "user" });
}

Deno.test("completions name every command and flag", () => {
  const scripts = [bashCompletion(root), zshCompletion(root), fishCompletion(root)];
  for (const { path, flags } of commands) {
    for (const script of scripts) {
      assert(script.includes(path.at(-1)!), path.join(" "));
      for (const name of flags.flatMap(({ names }) => names)) {
        assert(script.includes(name.replace(/^-+/, "")), name);
      }
    }
  }
});

Deno.test("manPage() has every command and flag, and no line that roff takes for a request", () => {
  const page = manPage(root, "1.2.3");
  const requests = /^\.(TH|SH|SS|TP|PP|B|BI|br|nf|fi)\b/;
  for (const line of page.split("\n")) {
    assert(!/^[.']/.test(line) || requests.test(line), line);
    assertMatch(line, /^[\x20-\x7e]*$/);
  }
  const plain = page.replaceAll("\\-", "-");
  for (const { path, flags } of commands) {
    assert(plain.includes(path.join(" ")), path.join(" "));
    if (path[1] === "service" && path.length === 2) continue;
    for (const name of flags.flatMap(({ names }) => names)) assert(plain.includes(name), name);
  }
});

/** What the documents say is so: files, links, tasks, commands, messages, and code that compiles. */
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { createProgram } from "../cli/program.ts";
import { commandsIn, strangeCommand } from "./support/documented_commands.ts";
import { anchorsOf, codeBlocks, linksOf, messagesIn, sourceTexts } from "./support/documents.ts";

const ROOT = new URL("../", import.meta.url);
const GUIDES = [...Deno.readDirSync(new URL("docs/", ROOT))].map(({ name }) => `docs/${name}`)
  .filter((path) => path.endsWith(".md")).toSorted();
const DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", ...GUIDES];

const texts = new Map(
  await Promise.all(DOCUMENTS.map(async (path) => [path, await read(path)] as const)),
);

function read(path: string): Promise<string> {
  return Deno.readTextFile(new URL(path, ROOT));
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(new URL(path, ROOT)).then(() => true, () => false);
}

function matchesIn(pattern: RegExp): string[] {
  return [
    ...new Set(
      [...texts.values()].flatMap((text) => [...text.matchAll(pattern)].map(([, it]) => it!)),
    ),
  ];
}

Deno.test("the documents name files that there are", async () => {
  const paths = matchesIn(/[`(](?:\.\/)?((?:[\w.]+\/)+[\w.]+\.\w+|[A-Z]+\.md|LICENSE)[`)]/g)
    .filter((path) => !path.startsWith(".."));
  const missing = [];
  for (const path of paths) {
    if (!await exists(path) && !await exists(`docs/${path}`)) missing.push(path);
  }
  assertEquals(missing, []);
  assert(paths.length > 40);
});

Deno.test("the documents name tasks that there are", async () => {
  const { tasks } = JSON.parse(await read("deno.json"));
  const named = matchesIn(/deno(?:@[\d.]+)? task ([a-z0-9:]+)/g);
  assertEquals(named.filter((name) => !(name in tasks)), []);
});

Deno.test("the documents' links lead to files and headings", async () => {
  const broken: string[] = [];
  for (const [path, text] of texts) {
    for (const link of linksOf(text)) {
      const target = new URL(link, new URL(path, ROOT));
      const file = fileURLToPath(new URL(target.pathname, ROOT));
      const anchor = decodeURIComponent(target.hash.slice(1));
      const there = await Deno.stat(file).then(() => true, () => false);
      const known = !there || anchor === "" || anchorsOf(await Deno.readTextFile(file)).has(anchor);
      if (!there || !known) broken.push(`${path}: ${link}`);
    }
  }
  assertEquals(broken, []);
});

Deno.test("the documents' TypeScript compiles", async () => {
  const paths = [...texts].filter(([, text]) => codeBlocks(text, "ts").length > 0).map(([at]) =>
    at
  );
  assert(paths.includes("docs/embedding.md"));
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["check", "--quiet", "--doc-only", ...paths],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
});

Deno.test("the documents' commands and flags are mdi's", () => {
  const program = createProgram(() => Promise.resolve(), {
    json: false,
    quiet: false,
    log: "text",
  });
  const commands = [...texts.values()].flatMap(commandsIn);
  assert(commands.length > 60, JSON.stringify(commands));
  assertEquals(commands.flatMap((command) => strangeCommand(program, command) ?? []), []);
});

Deno.test("troubleshooting.md quotes messages that mdi has", async () => {
  const sources = await sourceTexts(["wasm", "engine", "rpc", "cli"], ROOT);
  const messages = messagesIn(texts.get("docs/troubleshooting.md")!);
  assert(messages.length > 25);
  assertEquals(
    messages.filter((parts) => !sources.some((text) => parts.every((part) => text.includes(part)))),
    [],
  );
});

Deno.test("strangeCommand() finds what the program does not have", () => {
  const program = createProgram(() => Promise.resolve(), {
    json: false,
    quiet: false,
    log: "text",
  });
  const text =
    "`mdi plan --peers a --samples 8`, `mdi store list|verify --json`, `deno task starter --kv f16`\n" +
    "```sh\nsudo ./mdi service install --system  # once\nls\n```\n";
  const commands = commandsIn(text);
  assertEquals(commands.length, 5);
  assertEquals(commands.flatMap((command) => strangeCommand(program, command) ?? []), []);
  for (const wrong of ["plan --peer a", "stores", "store list x", "--starter --kv f8", "--peers"]) {
    assert(strangeCommand(program, { args: wrong, whole: true }) !== undefined, wrong);
  }
});

Deno.test("anchorsOf(), linksOf() and messagesIn() read what GitHub would show", () => {
  const text =
    '# One `two`: three\n## One\n## One\n[a](b.md#c) ![d](e.svg) `[f](g)` <img src="h">\n' +
    "### `Cannot x …: it is y; do z`\n";
  assertEquals([...anchorsOf(text)].slice(0, 3), ["one-two-three", "one", "one-1"]);
  assertEquals(linksOf(text), ["b.md#c", "e.svg", "h"]);
  assertEquals(messagesIn(text), [["Cannot x", "it is y", "do z"]]);
});

Deno.test("the documents name no directory of one machine", () => {
  const found = matchesIn(/((?<![\w.:/~])\/(?:home|root|Users|work|tmp|mnt)\/[\w./-]+)/g);
  assertEquals(found, []);
});

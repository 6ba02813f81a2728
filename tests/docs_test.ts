/** What the documents name is there. */
import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("../", import.meta.url);
const DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(new URL(path, ROOT)).then(() => true, () => false);
}

async function matchesIn(pattern: RegExp): Promise<string[]> {
  const texts = await Promise.all(DOCUMENTS.map((path) => Deno.readTextFile(new URL(path, ROOT))));
  return [...new Set(texts.flatMap((text) => [...text.matchAll(pattern)].map(([, it]) => it!)))];
}

Deno.test("the documents name files that there are", async () => {
  const paths = await matchesIn(/[`(](?:\.\/)?((?:[\w.]+\/)+[\w.]+\.\w+|[A-Z]+\.md|LICENSE)[`)]/g);
  const missing = [];
  for (const path of paths) if (!await exists(path)) missing.push(path);
  assertEquals(missing, []);
  assert(paths.length > 40);
});

Deno.test("the documents name tasks that there are", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  const named = await matchesIn(/deno(?:@[\d.]+)? task ([a-z0-9:]+)/g);
  assertEquals(named.filter((name) => !(name in tasks)), []);
});

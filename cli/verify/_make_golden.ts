/**
 * `deno task golden FILE [--check]`: makes golden.json from the default model's file, or compares the two. The ids
 * are those of one node of one thread; the margins come from the same kernels, given these ids.
 */
import { assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { openGguf } from "../../engine/model/gguf/source.ts";
import { DEFAULT_FILE } from "../../engine/pull/default_model.ts";
import { hashFile } from "../../engine/store/digest.ts";
import { openRing } from "../../rpc/open_ring.ts";
import { ImportedModel } from "../../tests/support/imported_model.ts";
import { loadSimd } from "../../tests/support/simd_stage.ts";
import { StageRing } from "../../tests/support/stage_ring.ts";
import type { Golden, GoldenPrompt } from "./golden.ts";

const PROMPTS: Pick<GoldenPrompt, "name" | "prompt">[] = [
  { name: "story", prompt: "Once upon a time, in a small village by the sea," },
  { name: "chat", prompt: [{ role: "user", content: "Why is the sky blue?" }] },
  { name: "towns", prompt: "Zürich, Genève und Köln sind Städte. 東京 is a city in" },
];
const TOKENS = 48;

/** What the model gives for the prompts. */
export async function makeGolden(path: string): Promise<Golden> {
  const { file, sha256 } = DEFAULT_FILE;
  assertEquals(await hashFile(path), sha256, "this is not the default model's file");
  const answers = await generate(path);
  const prompts = await withMargins(path, answers);
  return { file, sha256, prompts };
}

async function generate(path: string): Promise<Omit<GoldenPrompt, "margins">[]> {
  const home = await Deno.makeTempDir({ prefix: "mdi-golden-" });
  try {
    await using ring = await openRing({ model: path, home, backend: "simd", threads: 1 });
    const answers = [];
    for (const { name, prompt } of PROMPTS) {
      const options = { greedy: true, maxTokens: TOKENS, ignoreEos: true };
      const { ids } = await ring.generate(prompt, options).result;
      answers.push({ name, prompt, prompt_ids: ring.encode(prompt), ids });
    }
    return answers;
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

async function withMargins(
  path: string,
  answers: readonly Omit<GoldenPrompt, "margins">[],
): Promise<GoldenPrompt[]> {
  await using source = await openGguf(path);
  await using model = await ImportedModel.from(source);
  await using ring = await StageRing.load(model, { load: loadSimd(1) });
  const prompts: GoldenPrompt[] = [];
  for (const answer of answers) {
    ring.reset();
    const margins: number[] = [];
    let next = answer.prompt_ids;
    for (const id of answer.ids) {
      const hidden = await ring.forward(next);
      const { best, margin } = twoLargest(await ring.logits(hidden.slice(-ring.width)));
      assertEquals(best, id, `${answer.name}: the stage gives another token than the ring`);
      margins.push(Number(margin.toFixed(4)));
      next = [id];
    }
    prompts.push({ ...answer, margins });
  }
  return prompts;
}

function twoLargest(logits: Float32Array): { best: number; margin: number } {
  let best = 0;
  let second = -Infinity;
  for (let id = 1; id < logits.length; id++) {
    if (logits[id]! > logits[best]!) {
      second = logits[best]!;
      best = id;
    } else second = Math.max(second, logits[id]!);
  }
  return { best, margin: logits[best]! - second };
}

/** The file's text: a line for each list. */
function textOf({ file, sha256, prompts }: Golden): string {
  const entries = prompts.map((prompt) =>
    `    {\n${
      Object.entries(prompt).map(([key, value]) =>
        `      ${JSON.stringify(key)}: ${JSON.stringify(value)}`
      ).join(",\n")
    }\n    }`
  );
  return `{\n  "file": ${JSON.stringify(file)},\n  "sha256": ${
    JSON.stringify(sha256)
  },\n  "prompts": [\n${entries.join(",\n")}\n  ]\n}\n`;
}

if (import.meta.main) {
  const [path, ...rest] = Deno.args;
  if (path === undefined) throw new TypeError("Give the path of the default model's file");
  const text = textOf(await makeGolden(path));
  const target = fileURLToPath(new URL("golden.json", import.meta.url));
  if (rest.includes("--check")) assertEquals(await Deno.readTextFile(target), text);
  else await Deno.writeTextFile(target, text);
}

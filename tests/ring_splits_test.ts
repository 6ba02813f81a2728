/**
 * A ring of processes gives the very tokens of one node, whatever the split. The secondaries are started
 * once and serve every ring of this file, so each start also shows that the one before left nothing.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openRing, type Ring, type RingOptions, type SlotStay } from "../mod.ts";
import { runMdi, startSecondaries } from "./support/mdi_process.ts";

/** One token, two chunks, four chunks. */
const PROMPTS = [1, 40, 100].map((length, i) =>
  Array.from({ length }, (_, at) => 3 + (i * 97 + at * at * 31 + at * 7) % 450)
);
const LIMITS = { maxTokens: 16, ignoreEos: true };
const SEEDED = { seed: 7, temperature: 0.9, topP: 1 };

interface Case {
  model: string;
  options: RingOptions;
  splits: string[];
}

/** Four layers, but for the last two models: two. */
function cases(safetensors: string): [Case, ...Case[]] {
  return [
    {
      model: "ONNX, one f32 tensor at the cut",
      options: { model: fixture("tiny-llama-tied"), dtype: "fp32" },
      splits: ["2,2", "0,4", "1,1,2", "0,1,1,1,1"],
    },
    {
      model: "fused ONNX, two f32 tensors at the cut",
      options: genai("tiny-llama-untied", "genai-fp32"),
      splits: ["1,3", "0,3,1"],
    },
    {
      model: "fused ONNX, two f16 tensors at the cut",
      options: genai("tiny-llama-tied", "genai-webgpu-fp16"),
      splits: ["3,1", "2,1,1"],
    },
    {
      model: "GGUF, K-quants",
      options: { model: fixture("tiny-llama-256/gguf/model-q4_k_m.gguf") },
      splits: ["0,1,1"],
    },
    {
      model: "safetensors, with biases",
      options: { model: safetensors },
      splits: ["1,1"],
    },
  ];
}

Deno.test("openRing() gives the tokens of one node over every split", async (t) => {
  await using stack = new AsyncDisposableStack();
  const directory = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(directory, { recursive: true }));
  const safetensors = join(directory, "safetensors");
  await copySafetensors("tiny-qwen2", safetensors);
  const all = cases(safetensors);
  const [first] = all;
  const home = join(directory, "starter");
  const secondaries = await startSecondaries(4, directory, stack);
  const addresses = secondaries.map(({ address }) => address);
  const open = (options: RingOptions, layers?: string) =>
    openRing({
      home,
      ...options,
      ...(layers !== undefined && {
        layers,
        peers: addresses.slice(0, layers.split(",").length - 1),
      }),
    });
  const expected: number[][][] = [];

  for (const [i, { model, options, splits }] of all.entries()) {
    await t.step(`${model}: one node`, async () => {
      await using ring = await open(options);
      const ids = expected[i] = await sampleAll(ring);
      assertEquals(ids.map(({ length }) => length), ids.map(() => LIMITS.maxTokens));
      assert(new Set(ids.map(String)).size > PROMPTS.length, "a seeded sample is not a greedy one");
    });
    for (const [j, layers] of splits.entries()) {
      await t.step(`${model}: ${layers}`, async () => {
        await using ring = await open(options, layers);
        assertEquals(await sampleAll(ring), expected[i]);
        const { nodes } = await ring.summary();
        if (j === 0) assert(nodes[1]!.weightBytesReceived > 0);
      });
    }
  }

  await t.step(
    "more samples than slots, one of them cancelled: the others are the same",
    async () => {
      const stays: SlotStay[] = [];
      const options = {
        ...first.options,
        slots: 2,
        onSlot: (stay: SlotStay) => stays.push(stay),
      };
      await using ring = await open(options, "2,2");
      const cancelled = ring.generate(PROMPTS[2]!, { ...LIMITS, maxTokens: 300 });
      const others = sampleAll(ring);
      for await (const _ of cancelled) cancelled.cancel();
      assertEquals((await cancelled.result).finishReason, "cancel");
      assertEquals(await others, expected[0]);
      assertEquals(stays.length, 7);
      assertEquals(new Set(stays.map(({ slot }) => slot)), new Set([0, 1]));
    },
  );

  await t.step("mdi --starter prints the same ids, and sends no weights again", async () => {
    const { code, records, stderr } = await runMdi([
      ..."--starter --json --quiet --layers 1,1,2 --dtype fp32 --ignore-eos".split(" "),
      ..."--seed 7 --temperature 0.9 --top-p 1 --tokens 16".split(" "),
      ...["--model", first.options.model!, "--peers", addresses.slice(0, 2).join(",")],
      ...PROMPTS.flatMap((prompt) => ["--prompt-ids", prompt.join(",")]),
    ], { home });
    assertEquals(code, 0, stderr);
    const samples = records.filter(({ type }) => type === "sample");
    const printed = PROMPTS.map((_, i) => samples.find(({ sample }) => sample === i)?.ids);
    assertEquals(printed, expected[0]!.slice(PROMPTS.length));
    const { nodes } = records.find(({ type }) => type === "summary") as unknown as {
      nodes: { layers: unknown; weight_bytes_received: number }[];
    };
    assertEquals(nodes.map(({ layers }) => layers), [[0, 0], [1, 1], [2, 3]]);
    assertEquals(nodes.map((node) => node.weight_bytes_received), [0, 0, 0]);
  });

  for (const { address, ended, stderr } of secondaries) {
    const state = await Promise.race([ended, Promise.resolve("running")]);
    assertEquals(state, "running", `${address}: ${stderr()}`);
  }
});

/** Every prompt greedily and every prompt with the seed, all at once. */
async function sampleAll(ring: Ring): Promise<number[][]> {
  const generations = [
    ...PROMPTS.map((prompt) => ring.generate(prompt, { ...LIMITS, greedy: true })),
    ...PROMPTS.map((prompt, stream) => ring.generate(prompt, { ...LIMITS, ...SEEDED, stream })),
  ];
  return await Promise.all(generations.map(async ({ result }) => (await result).ids));
}

/** A directory with nothing but safetensors: beside an ONNX export, that would be taken. */
async function copySafetensors(from: string, to: string): Promise<void> {
  await Deno.mkdir(to);
  for (const name of ["model.safetensors", "config.json", "tokenizer.json"]) {
    await Deno.copyFile(join(fixture(from), name), join(to, name));
  }
}

function genai(model: string, directory: string): RingOptions {
  return { model: fixture(`${model}/${directory}`), tokenizer: fixture(model) };
}

function fixture(path: string): string {
  return fileURLToPath(new URL(`fixtures/${path}`, import.meta.url));
}

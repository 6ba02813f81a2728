/**
 * A real int4 export of the default model (onnxruntime-genai, shared 4-bit embeddings), named by
 * `$MDI_TEST_ONNX`: cut it computes the very bits of the uncut graph; as f32 it says what native ONNX
 * Runtime says; one process and rings of two and three give the same tokens.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { openOnnxModel } from "../engine/model/onnx/open_onnx_model.ts";
import type { ChatMessage } from "../engine/text/chat_template.ts";
import { createTokenizer } from "../engine/text/tokenizer.ts";
import { runMdi, startSecondaries } from "./support/mdi_process.ts";
import { argmax } from "./support/numbers.ts";
import {
  assertEqualBits,
  blocksOf,
  chainedDecoder,
  type Decoder,
  numbersOf,
  splitDecoder,
  wholeDecoder,
} from "./support/onnx_chain.ts";
import { modelNote, SMOLLM2_ONNX } from "./support/real_models.ts";
import { ImportedModel } from "./support/imported_model.ts";
import { loadOrt } from "./support/ort_stage.ts";
import { StageRing } from "./support/stage_ring.ts";

interface Answer {
  name: string;
  greedy_ids: number[];
  margins: number[];
}

interface TokenizerOracle {
  cases: { text: string; ids: number[]; decoded: string }[];
  chat_cases: { messages: ChatMessage[]; add_generation_prompt: boolean; ids: number[] }[];
}

const fixture = async (name: string) =>
  JSON.parse(await Deno.readTextFile(new URL(`fixtures/smollm2/${name}`, import.meta.url))).prompts;
const prompts: { name: string; ids: number[] }[] = await fixture("oracle.json");
const answers: Answer[] = await fixture("int4_export_oracle.json");

const PROMPT = prompts.find(({ name }) => name === "short_fact")!.ids;
/** Tokens generated where ONNX Runtime computes with 4-bit weights: it takes 0.4 s for each. */
const SLOW_TOKENS = 12;
/** Memory with which a stage keeps its weights quantised: they are 88 MB, or 538 as f32. */
const QUANTISED_BYTES = 400e6;
/**
 * Native ONNX Runtime computes 4-bit products with int8 activations, so it may differ below this margin;
 * measured: at 17 of 576 steps, the largest of 0.17.
 */
const MARGIN = 0.3;

const note = modelNote(SMOLLM2_ONNX, "set MDI_TEST_ONNX");
const ignore = SMOLLM2_ONNX === undefined;

async function greedy(decoder: Decoder, vocab: number): Promise<number[]> {
  decoder.reset();
  const ids: number[] = [];
  while (ids.length < SLOW_TOKENS) {
    const logits = numbersOf(await decoder.step(ids.length === 0 ? PROMPT : ids.slice(-1)));
    ids.push(argmax(logits.subarray(-vocab)));
  }
  return ids;
}

Deno.test({
  name: `blocks of a real export compute the bits of the uncut graph${note}`,
  ignore,
  fn: async () => {
    await using source = await openOnnxModel(SMOLLM2_ONNX!);
    const { layers, vocab } = source.config;
    const blocks = await blocksOf(source);
    await using whole = await wholeDecoder(source);
    const expected = await greedy(whole, vocab);
    {
      await using chain = await chainedDecoder(source, blocks);
      await assertEqualBits(whole, chain, [PROMPT, ...expected.slice(0, 3).map((id) => [id])]);
      assertEquals(await greedy(chain, vocab), expected);
    }
    {
      await using split = await splitDecoder(source, blocks, layers / 2);
      await assertEqualBits(whole, split, [PROMPT, ...expected.slice(0, 3).map((id) => [id])]);
    }
    await using model = await ImportedModel.from(source);
    await using ring = await StageRing.load(model, {
      cuts: [12],
      memoryBytes: QUANTISED_BYTES,
      load: loadOrt,
    });
    assert(ring.stages.every(({ info }) => info.weightBytes < 100e6));
    assertEquals(await ring.greedy(PROMPT, SLOW_TOKENS), expected);
  },
});

Deno.test({
  name: `a real export's tokenizer.json gives the ids, texts and chats of the oracle${note}`,
  ignore,
  fn: async () => {
    await using source = await openOnnxModel(SMOLLM2_ONNX!);
    const tokenizer = createTokenizer(source.text);
    const { cases, chat_cases: chats }: TokenizerOracle = JSON.parse(
      await Deno.readTextFile(
        new URL("fixtures/text/smollm2_tokenizer_oracle.json", import.meta.url),
      ),
    );
    assertEquals([cases.length, chats.length], [81, 8]);
    for (const { text, ids, decoded } of cases) {
      assertEquals(tokenizer.encode(text), ids, text);
      assertEquals(tokenizer.decode(ids), decoded, text);
    }
    for (const { messages, add_generation_prompt: addGenerationPrompt, ids } of chats) {
      assertEquals(tokenizer.chat(messages, { addGenerationPrompt }), ids);
    }
  },
});

Deno.test({
  name: `a real export as f32 has native ONNX Runtime's next token at every clear margin${note}`,
  ignore,
  fn: async () => {
    await using source = await openOnnxModel(SMOLLM2_ONNX!);
    await using model = await ImportedModel.from(source);
    await using ring = await StageRing.load(model, { load: loadOrt });
    for (const { name, greedy_ids: ids, margins } of answers) {
      ring.reset();
      let fed = prompts.find((prompt) => prompt.name === name)!.ids;
      for (const [i, id] of ids.entries()) {
        const got = await ring.next(fed);
        assert(got === id || margins[i]! <= MARGIN, `${name}: step ${i} gives ${got}, not ${id}`);
        fed = [id];
      }
    }
  },
});

Deno.test({
  name: `a real export gives the same tokens in one process and in rings of two and three${note}`,
  ignore,
  fn: async () => {
    const directory = await Deno.makeTempDir({ prefix: "mdi-test-" });
    try {
      await using stack = new AsyncDisposableStack();
      const peers = (await startSecondaries(2, directory, stack)).map(({ address }) => address);
      const generate = async (nodes: number) => {
        const { code, records, stderr } = await runMdi([
          ...["--starter", "--model", SMOLLM2_ONNX!, "--prompt-ids", PROMPT.join()],
          ...["--tokens", "24", "--greedy", "--ignore-eos", "--json"],
          ...(nodes > 1 ? ["--peers", peers.slice(0, nodes - 1).join()] : []),
          ...["--layers", "even"],
        ], { home: join(directory, "starter"), timeoutMs: 180_000 });
        assertEquals(code, 0, stderr);
        const summary = records.find(({ type }) => type === "summary")!;
        assertEquals((summary.nodes as unknown[]).length, nodes);
        return records.find(({ type }) => type === "sample")!.ids as number[];
      };
      const alone = await generate(1);
      assertEquals(alone.length, 24);
      assertEquals(await generate(2), alone);
      assertEquals(await generate(3), alone);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

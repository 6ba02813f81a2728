import { assertEquals, assertThrows } from "@std/assert";
import { MdiError } from "../../wasm/error.ts";
import type { GgufValue } from "../model/gguf/reader.ts";
import {
  readJson,
  sentencePiece,
  sentencePieceMetadata,
  smollm2,
  smollm2Metadata,
} from "./_fixtures.ts";
import type { ChatMessage } from "./chat_template.ts";
import { ggufTextAssets } from "./gguf_tokenizer.ts";
import { createTokenizer } from "./tokenizer.ts";

interface Oracle {
  cases: { text: string; ids: number[]; decoded: string; decoded_skip_special: string }[];
  chat_cases: { messages: ChatMessage[]; add_generation_prompt: boolean; ids: number[] }[];
}

interface SentencePieceOracle {
  cases: { text: string; ids: number[]; decoded: string; hf_ids: number[]; hf_decoded: string }[];
}

Deno.test("ggufTextAssets() gives SmolLM2's ids, texts and chats as its own tokenizer.json does", async () => {
  const tokenizer = await smollm2();
  const oracle = await readJson<Oracle>("smollm2_tokenizer_oracle.json");
  assertEquals(oracle.cases.length, 81);
  for (const { text, ids, decoded, decoded_skip_special: skipped } of oracle.cases) {
    assertEquals(tokenizer.encode(text), ids, text);
    assertEquals(tokenizer.decode(ids), decoded, text);
    assertEquals(tokenizer.decode(ids, { skipSpecialTokens: true }), skipped, text);
  }
  assertEquals(oracle.chat_cases.length, 8);
  for (const { messages, add_generation_prompt: addGenerationPrompt, ids } of oracle.chat_cases) {
    assertEquals(tokenizer.chat(messages, { addGenerationPrompt }), ids);
  }
  assertEquals(tokenizer.vocab, 49152);
});

Deno.test("ggufTextAssets() gives sentencepiece's ids and texts", async () => {
  const tokenizer = await sentencePiece();
  const { cases } = await readJson<SentencePieceOracle>("spm_oracle.json");
  const addedTokens = /<\|tool\|>|<s>/;
  for (const { text, ids, decoded, hf_ids: hfIds, hf_decoded: hfDecoded } of cases) {
    const options = { addSpecialTokens: false };
    assertEquals(tokenizer.encode(text, options), hfIds, JSON.stringify(text));
    if (text !== "") assertEquals(tokenizer.encode(text), [1, ...hfIds]);
    assertEquals(
      tokenizer.decode(hfIds, { skipSpecialTokens: true }),
      hfDecoded,
      JSON.stringify(text),
    );
    assertEquals(tokenizer.decode(ids), decoded, JSON.stringify(text));
    if (!addedTokens.test(text)) assertEquals(hfIds, ids);
  }
});

Deno.test("ggufTextAssets() makes what transformers' LlamaConverter makes", async () => {
  const ours = ggufTextAssets(await sentencePieceMetadata()).tokenizer;
  const theirs = await readJson<Record<string, Record<string, unknown>>>("spm_tokenizer.json");
  const model = ours.model as Record<string, unknown>;
  assertEquals(model.merges, theirs.model!.merges);
  assertEquals(model.vocab, theirs.model!.vocab);
  assertEquals(ours.normalizer, theirs.normalizer);
  assertEquals(ours.decoder, theirs.decoder);
});

Deno.test("createTokenizer() reads transformers' conversion of a SentencePiece model", async () => {
  const tokenizer = await readJson<Record<string, unknown>>("spm_tokenizer.json");
  const converted = createTokenizer({ tokenizer, tokenizerConfig: {}, sampling: {} });
  const { cases } = await readJson<SentencePieceOracle>("spm_oracle.json");
  for (const { text, hf_ids: ids } of cases) {
    assertEquals(converted.encode(text, { addSpecialTokens: false }), ids, text);
  }
});

Deno.test("ggufTextAssets() refuses what it does not know and what is malformed", async () => {
  const gpt2 = await smollm2Metadata();
  const llama = await sentencePieceMetadata();
  const cases: [Map<string, GgufValue>, string, GgufValue | undefined, string, string][] = [
    [gpt2, "tokenizer.ggml.pre", "klingon", "model_unsupported", `"klingon"`],
    [gpt2, "tokenizer.ggml.model", "rwkv", "model_unsupported", `"rwkv"`],
    [gpt2, "tokenizer.ggml.model", 7, "model_corrupt", "tokenizer.ggml.model"],
    [gpt2, "tokenizer.ggml.tokens", undefined, "model_corrupt", "missing"],
    [gpt2, "tokenizer.ggml.tokens", [1, 2], "model_corrupt", "other things than texts"],
    [gpt2, "tokenizer.ggml.merges", undefined, "model_corrupt", "missing"],
    [gpt2, "tokenizer.ggml.token_type", [1], "model_corrupt", "1 entries for 49152 tokens"],
    [gpt2, "tokenizer.ggml.add_bos_token", "yes", "model_corrupt", "true or false"],
    [
      gpt2,
      "tokenizer.chat_template",
      "x".repeat(2 ** 20 + 1),
      "model_corrupt",
      "1048577 characters",
    ],
    [llama, "tokenizer.ggml.scores", undefined, "model_corrupt", "missing"],
    [llama, "tokenizer.ggml.scores", new Array(900).fill(NaN), "model_corrupt", "than numbers"],
  ];
  for (const [metadata, key, value, code, message] of cases) {
    const changed = new Map(metadata);
    if (value === undefined) changed.delete(key);
    else changed.set(key, value);
    assertEquals(assertThrows(() => ggufTextAssets(changed), MdiError, message).code, code);
  }
});

Deno.test("ggufTextAssets() knows the pre-tokenizers' patterns", async () => {
  const text = "It's 2024年: x=12345 HTTPServer's\r\n\r\n  don't";
  const words: Record<string, string[]> = {
    "smollm": [
      "It",
      "'s",
      " ",
      "2",
      "0",
      "2",
      "4",
      "年",
      ":",
      " x",
      "=",
      "1",
      "2",
      "3",
      "4",
      "5",
      " HTTPServer",
      "'s",
      "\r\n\r\n ",
      " don",
      "'t",
    ],
    "gpt-2": [
      "It",
      "'s",
      " 2024",
      "年",
      ":",
      " x",
      "=",
      "12345",
      " HTTPServer",
      "'s",
      "\r\n\r\n ",
      " don",
      "'t",
    ],
    "llama-bpe": [
      "It",
      "'s",
      " ",
      "202",
      "4",
      "年",
      ":",
      " x",
      "=",
      "123",
      "45",
      " HTTPServer",
      "'s",
      "\r\n\r\n",
      " ",
      " don",
      "'t",
    ],
    "qwen2": [
      "It",
      "'s",
      " ",
      "2",
      "0",
      "2",
      "4",
      "年",
      ":",
      " x",
      "=",
      "1",
      "2",
      "3",
      "4",
      "5",
      " HTTPServer",
      "'s",
      "\r\n\r\n",
      " ",
      " don",
      "'t",
    ],
    "tekken": [
      "It",
      "'s",
      " ",
      "2",
      "0",
      "2",
      "4",
      "年",
      ":",
      " x",
      "=",
      "1",
      "2",
      "3",
      "4",
      "5",
      " HTTPServer",
      "'s",
      "\r\n\r\n",
      " ",
      " don",
      "'t",
    ],
    "deepseek-llm": [
      "It",
      "'",
      "s",
      " ",
      "2024",
      "年",
      ":",
      " x",
      "=",
      "12345",
      " HTTPServer",
      "'",
      "s",
      "\r",
      "\n",
      "\r",
      "\n",
      " ",
      " don",
      "'",
      "t",
    ],
  };
  for (const [pre, expected] of Object.entries(words)) {
    assertEquals(await wordsOf(text, pre), expected, pre);
  }
  // Every pattern compiles.
  for (const pre of ["default", "gpt-4o", "deepseek-v3", "deepseek-coder", "olmo", "glm4"]) {
    assertEquals((await wordsOf(text, pre)).join(""), text);
  }
});

/** The words of a text: a vocabulary that is nothing but their bytes, and every two bytes merge. */
async function wordsOf(text: string, pre: string): Promise<string[]> {
  const { SequencePreTokenizer } = await import("@huggingface/tokenizers");
  const metadata = new Map<string, GgufValue>([
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.pre", pre],
    ["tokenizer.ggml.tokens", ["a"]],
    ["tokenizer.ggml.merges", []],
  ]);
  const { pre_tokenizer: config } = ggufTextAssets(metadata).tokenizer;
  const { pretokenizers } = config as { pretokenizers: { type: string }[] };
  // Without the step that writes words as bytes.
  const splits = pretokenizers.filter((step) => step.type === "Split");
  // deno-lint-ignore no-explicit-any -- the package's types are stricter than its files
  const sequence = new SequencePreTokenizer({ type: "Sequence", pretokenizers: splits } as any);
  return sequence.pre_tokenize(text);
}

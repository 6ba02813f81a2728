import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MdiError } from "../../wasm/error.ts";
import { readJson, sentencePiece, smollm2 } from "./_fixtures.ts";
import { createTokenizer } from "./tokenizer.ts";

const FIXTURES = new URL("../../tests/fixtures/", import.meta.url);

interface TinyOracle {
  cases: { text: string; ids: number[]; ids_with_special: number[]; decoded: string }[];
}

Deno.test("createTokenizer() gives the ids of a tokenizer.json with a beginning-of-sequence token", async () => {
  const folder = new URL("tiny-llama3-rope-tied/", FIXTURES);
  const read = async (name: string) => JSON.parse(await Deno.readTextFile(new URL(name, folder)));
  const tokenizer = createTokenizer({
    tokenizer: await read("tokenizer.json"),
    tokenizerConfig: await read("tokenizer_config.json"),
    sampling: {},
  });
  const { cases }: TinyOracle = await read("tokenizer_oracle.json");
  assert(cases.length > 20);
  for (const { text, ids, ids_with_special: withSpecial, decoded } of cases) {
    assertEquals(tokenizer.encode(text, { addSpecialTokens: false }), ids, text);
    assertEquals(tokenizer.encode(text), withSpecial, text);
    assertEquals(tokenizer.decode(ids), decoded, text);
  }
  assert(tokenizer.isSpecial(506) && !tokenizer.isSpecial(505));
  assertEquals(tokenizer.hasChatTemplate, false);
  const error = assertThrows(() => tokenizer.chat([{ role: "user", content: "hi" }]), MdiError);
  assertEquals(error.code, "model_unsupported");
});

Deno.test("createTokenizer() leaves the assets as they were, with merges of either form", async () => {
  const tokenizer = await readJson<{ model: { merges: (string | string[])[] } }>(
    "spm_tokenizer.json",
  );
  const { model } = tokenizer;
  const pairs = model.merges.map((each) => typeof each === "string" ? each.split(" ") : each);
  const encoded = [pairs, pairs.map((pair) => pair.join(" "))].map((merges) => {
    const assets = {
      tokenizer: { ...tokenizer, model: { ...model, merges } },
      tokenizerConfig: {},
      sampling: {},
    };
    const before = structuredClone(assets);
    const ids = createTokenizer(assets).encode("Once upon a time");
    assertEquals(assets, before);
    return ids;
  });
  assertEquals(encoded[0], encoded[1]);
});

// Printable text, as SmolLM2's vocabulary lacks bytes that occur in unassigned characters only.
Deno.test("Tokenizer decodes what it encoded", async () => {
  for (const tokenizer of [await smollm2(), await sentencePiece()]) {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), (text) => {
        const ids = tokenizer.encode(text, { addSpecialTokens: false });
        assert(ids.every((id) => Number.isInteger(id) && id >= 0 && id < tokenizer.vocab));
        // "▁" is how SentencePiece writes a space, so it does not come back.
        if (!text.includes("▁")) assertEquals(tokenizer.decode(ids), text);
      }),
      { numRuns: 500 },
    );
  }
});

Deno.test("Tokenizer takes broken surrogates, an empty list and unknown ids", async () => {
  for (const tokenizer of [await smollm2(), await sentencePiece()]) {
    const ids = tokenizer.encode("a\ud83d b\ude00", { addSpecialTokens: false });
    assertEquals(tokenizer.decode(ids), "a\ufffd b\ufffd");
    assertEquals(tokenizer.encode("", { addSpecialTokens: false }), []);
    assertEquals(tokenizer.decode([]), "");
    assertEquals(tokenizer.decode([10_000_000, -1]), "");
  }
});

Deno.test("Tokenizer gives a long text the ids that it has in one piece", async () => {
  const sentence = "The river was wide, and on 12 May the stones (old ones) shone.\n";
  for (const tokenizer of [await smollm2(), await sentencePiece()]) {
    const count = tokenizer.encode(sentence.repeat(20), { addSpecialTokens: false }).length / 20;
    for (const repeats of [700, 701]) {
      const text = sentence.repeat(repeats);
      const ids = tokenizer.encode(text, { addSpecialTokens: false });
      assertEquals(tokenizer.decode(ids), text);
      // Within one, for the dummy space at the start of a SentencePiece text.
      assert(Math.abs(ids.length - count * repeats) <= repeats / 20 + 1);
    }
  }
});

Deno.test("Tokenizer gives up on a text of megabytes when the context is full", async () => {
  for (const tokenizer of [await smollm2(), await sentencePiece()]) {
    for (const unit of ["a", " ", "😀", "今日", "\n ", "word "]) {
      const text = unit.repeat(10_000_000 / unit.length);
      const error = assertThrows(() => tokenizer.encode(text, { maxTokens: 200 }), MdiError);
      assertEquals(error.code, "context_exceeded");
    }
  }
});

Deno.test("createTokenizer() refuses a malformed tokenizer.json and another kind than BPE", async () => {
  const good = await readJson<Record<string, unknown>>("spm_tokenizer.json");
  const model = good.model as Record<string, unknown>;
  const cases: [Record<string, unknown>, string][] = [
    [{}, "model_corrupt"],
    [{ ...good, model: null }, "model_corrupt"],
    [{ ...good, model: { ...model, type: "Unigram" } }, "model_unsupported"],
    [{ ...good, model: { ...model, vocab: [] } }, "model_corrupt"],
    [{ ...good, model: { ...model, vocab: { a: -1 } } }, "model_corrupt"],
    [{ ...good, model: { ...model, vocab: { a: 1e9 } } }, "model_corrupt"],
    [{ ...good, model: { ...model, merges: [["a", "b"], ["a"]] } }, "model_corrupt"],
    [{ ...good, model: { ...model, merges: ["ab"] } }, "model_corrupt"],
    [{ ...good, added_tokens: [{ id: 1 }] }, "model_corrupt"],
    [{ ...good, normalizer: "NFC" }, "model_corrupt"],
    [{ ...good, normalizer: { type: "Nmt" } }, "model_unsupported"],
    [{ ...good, pre_tokenizer: { type: "Sequence" } }, "model_corrupt"],
    [{ ...good, pre_tokenizer: { type: "UnicodeScripts" } }, "model_unsupported"],
    [{ ...good, decoder: { type: "CTC" } }, "model_unsupported"],
  ];
  for (const [tokenizer, code] of cases) {
    const assets = { tokenizer, tokenizerConfig: {}, sampling: {} };
    assertEquals(assertThrows(() => createTokenizer(assets), MdiError).code, code);
  }
});

Deno.test("Tokenizer.chat() takes the default of several templates and says why one fails", async () => {
  const tokenizer = await readJson<Record<string, unknown>>("spm_tokenizer.json");
  const make = (template: unknown) =>
    createTokenizer({
      tokenizer,
      tokenizerConfig: { chat_template: template, bos_token: { content: "<s>" } },
      sampling: {},
    });
  const chat = [{ role: "user", content: "river" }];
  const named = [
    { name: "tool_use", template: "tools" },
    { name: "default", template: "{{ bos_token }}{{ messages[0]['content'] }}" },
  ];
  const several = make(named);
  assertEquals(several.decode(several.chat(chat)), "<s> river");
  assertEquals(assertThrows(() => make(named.slice(0, 1)), MdiError).code, "model_unsupported");
  assertThrows(() => make("{% if %}").chat(chat), MdiError, "Cannot format the chat");
  assertThrows(
    () => make("{{ raise_exception('roles must alternate') }}").chat(chat),
    MdiError,
    "roles must alternate",
  );
});

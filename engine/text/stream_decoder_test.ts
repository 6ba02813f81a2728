import { assert, assertEquals, assertThrows } from "@std/assert";
import { Tokenizer as HfTokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { MdiError } from "../../wasm/error.ts";
import { sentencePiece, sentencePieceMetadata, smollm2, smollm2Metadata } from "./_fixtures.ts";
import { ggufTextAssets } from "./gguf_tokenizer.ts";
import { decoderPlan, type StreamDecoder } from "./stream_decoder.ts";
import type { Tokenizer } from "./tokenizer.ts";

function streamed(decoder: StreamDecoder, ids: readonly number[]): string {
  let text = "";
  for (const id of ids) {
    const piece = decoder.push(id);
    assert(piece.isWellFormed());
    text += piece;
  }
  return text + decoder.flush();
}

/** Random ids, with many of those that are parts of characters and of special ones. */
function idLists(tokenizer: Tokenizer): fc.Arbitrary<number[]> {
  const id = fc.oneof(
    fc.integer({ min: 0, max: tokenizer.vocab - 1 }),
    fc.integer({ min: 0, max: 300 }),
  );
  return fc.array(id, { maxLength: 60 });
}

Deno.test("StreamDecoder gives for any ids what @huggingface/tokenizers decodes in one go", async () => {
  const cases = [
    [await smollm2(), ggufTextAssets(await smollm2Metadata())],
    [await sentencePiece(), ggufTextAssets(await sentencePieceMetadata())],
  ] as const;
  for (const [tokenizer, assets] of cases) {
    const package_ = new HfTokenizer(assets.tokenizer, { clean_up_tokenization_spaces: false });
    fc.assert(
      fc.property(idLists(tokenizer), fc.boolean(), (ids, skipSpecialTokens) => {
        const expected = ids.length === 0
          ? ""
          : package_.decode(ids, { skip_special_tokens: skipSpecialTokens });
        const text = streamed(tokenizer.streamDecoder({ skipSpecialTokens }), ids);
        assertEquals(text, expected);
        assertEquals(tokenizer.decode(ids, { skipSpecialTokens }), expected);
      }),
      { numRuns: 1000 },
    );
  }
});

Deno.test("StreamDecoder gives a character when its last byte is there", async () => {
  const tokenizer = await sentencePiece();
  const decoder = tokenizer.streamDecoder();
  // "<0x00>" has the id 4; U+1F600 is F0 9F 98 80.
  const bytes = [0xf0, 0x9f, 0x98, 0x80].map((byte) => byte + 4);
  assertEquals(bytes.map((id) => decoder.push(id)), ["", "", "", "😀"]);
  assertEquals([0xe4, 0x41].map((byte) => decoder.push(byte + 4)), ["", "\ufffdA"]);
  assertEquals(decoder.push(0xf0 + 4), "");
  assertEquals(decoder.flush(), "\ufffd");
});

Deno.test("StreamDecoder drops the dummy space at the start and keeps it in a continuation", async () => {
  const tokenizer = await sentencePiece();
  const ids = tokenizer.encode("the river", { addSpecialTokens: false });
  assertEquals(streamed(tokenizer.streamDecoder(), ids), "the river");
  assertEquals(streamed(tokenizer.streamDecoder({ continuation: true }), ids), " the river");
});

Deno.test("decoderPlan() names a step that it does not know", () => {
  const error = assertThrows(() => decoderPlan({ type: "WordPiece" }), MdiError, `"WordPiece"`);
  assertEquals(error.code, "model_unsupported");
});

/**
 * Every tokenizer of tests/fixtures - byte-level BPE of several families, SentencePiece - read from its
 * tokenizer.json and from the metadata of a GGUF file, against what transformers says.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { openModel } from "../engine/model/open.ts";
import type { ChatMessage } from "../engine/text/chat_template.ts";
import { createTokenizer, type Tokenizer } from "../engine/text/tokenizer.ts";
import { fixtureNames, FIXTURES, modelFilesOf } from "./support/oracle.ts";

interface TokenizerOracle {
  cases: { text: string; ids: number[]; ids_with_special: number[]; decoded: string }[];
  chat: { messages: ChatMessage[]; text: string };
}

function assertOracle(tokenizer: Tokenizer, { cases, chat }: TokenizerOracle): void {
  assert(cases.length > 20);
  for (const { text, ids, ids_with_special: withSpecial, decoded } of cases) {
    assertEquals(tokenizer.encode(text, { addSpecialTokens: false }), ids, JSON.stringify(text));
    assertEquals(tokenizer.encode(text), withSpecial, JSON.stringify(text));
    assertEquals(tokenizer.decode(ids), decoded, JSON.stringify(text));
  }
  const ids = tokenizer.encode(chat.text, { addSpecialTokens: false });
  assertEquals(tokenizer.chat(chat.messages), ids);
}

for (const fixture of fixtureNames()) {
  const root = join(FIXTURES, fixture);
  const files = modelFilesOf(fixture);
  const oracle = [...Deno.readDirSync(root)].find(({ name }) => name === "tokenizer_oracle.json");
  const firstOf = (ending: string) => files.find((file) => file.endsWith(ending));
  for (const file of [firstOf(".onnx"), firstOf(".gguf")]) {
    if (oracle === undefined || file === undefined) continue;
    Deno.test(`the tokenizer of ${fixture}/${file} gives transformers' ids, texts and chat`, async () => {
      await using source = await openModel(join(root, file));
      assertOracle(
        createTokenizer(source.text),
        JSON.parse(await Deno.readTextFile(join(root, oracle.name))),
      );
    });
  }
}

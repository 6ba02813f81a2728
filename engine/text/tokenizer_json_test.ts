import { assert } from "@std/assert";
import fc from "fast-check";
import { acceptOrRefuse, damagedJson } from "../../tests/support/hostile.ts";
import { readJson } from "./_fixtures.ts";
import { createTokenizer } from "./tokenizer.ts";
import { type JsonObject, prepareTokenizerJson } from "./tokenizer_json.ts";

Deno.test("createTokenizer() takes or refuses any tokenizer.json, and what it takes works", async () => {
  const good = await readJson<JsonObject>("spm_tokenizer.json");
  const config = {
    bos_token: "<s>",
    add_bos_token: true,
    chat_template: "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}",
  };
  let taken = 0;
  const runs = 500;
  fc.assert(
    fc.property(damagedJson({ json: good, config }), ({ json, config }) => {
      acceptOrRefuse(() => {
        const tokenizer = createTokenizer({
          tokenizer: Object(json),
          tokenizerConfig: Object(config),
          sampling: {},
        });
        taken++;
        const ids = tokenizer.encode("Once upon a time, 12 ½ ▁ \u{1f600}");
        assert(ids.every((id) => Number.isInteger(id) && id >= 0));
        assert(typeof tokenizer.decode(ids) === "string");
        tokenizer.streamDecoder().push(ids[0] ?? 0);
        if (tokenizer.hasChatTemplate) tokenizer.chat([{ role: "user", content: "hi" }]);
      });
    }),
    { numRuns: runs },
  );
  assert(taken > 0 && taken < runs, `${taken} of ${runs} were taken`);
});

Deno.test("prepareTokenizerJson() meets any JSON with an MdiError and leaves it as it was", () => {
  const object = fc.dictionary(fc.constantFrom("model", "added_tokens", "decoder"), fc.jsonValue());
  fc.assert(fc.property(object, (json) => {
    const before = JSON.stringify(json);
    acceptOrRefuse(() => prepareTokenizerJson(json));
    assert(JSON.stringify(json) === before);
  }));
});

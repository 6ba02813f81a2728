import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { smollm2 } from "./_fixtures.ts";
import { createTextPipe } from "./text_pipe.ts";

Deno.test("TextPipe's texts add up to the decoded text, cut at the stop string", async () => {
  const tokenizer = await smollm2();
  const ids = fc.array(fc.integer({ min: 0, max: 2000 }), { maxLength: 80 });
  fc.assert(
    fc.property(ids, fc.constantFrom([], ["e"], [" the", "\n"], ["\ufffd"]), (list, stops) => {
      const pipe = createTextPipe(tokenizer, stops);
      let text = "";
      for (const id of list) text += pipe.push(id).text;
      text += pipe.flush();
      const all = tokenizer.decode(list, { skipSpecialTokens: true });
      const ends = stops.map((stop) => all.indexOf(stop)).filter((at) => at !== -1);
      assertEquals(text, all.slice(0, Math.min(all.length, ...ends)));
    }),
    { numRuns: 1000 },
  );
});

Deno.test("TextPipe gives the end token no text", async () => {
  const tokenizer = await smollm2();
  const pipe = createTextPipe(tokenizer, []);
  const [hello] = tokenizer.encode("Hello");
  assertEquals(pipe.push(hello!), { text: "Hello", stopped: false });
  assertEquals(pipe.push(2), { text: "", stopped: false });
  assertEquals(pipe.flush(), "");
});

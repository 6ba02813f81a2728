import { assert, assertEquals, assertThrows } from "@std/assert";
import { fileURLToPath } from "node:url";
import { MdiError } from "../wasm/error.ts";
import { openRing, type RingOptions } from "./open_ring.ts";
import type { Ring } from "./ring.ts";

const MODEL = fileURLToPath(new URL("../tests/fixtures/tiny-llama-tied", import.meta.url));
const GREEDY = { greedy: true, maxTokens: 6, ignoreEos: true } as const;
const LONG = { ...GREEDY, maxTokens: 200 } as const;

function test(
  name: string,
  body: (ring: Ring) => Promise<void>,
  options: Partial<RingOptions> = {},
): void {
  Deno.test(name, async () => {
    const home = await Deno.makeTempDir();
    try {
      await using ring = await openRing({ ...options, home, model: MODEL });
      await body(ring);
    } finally {
      await Deno.remove(home, { recursive: true });
    }
  });
}

test("Chat.send() has its answer among the messages when its pieces end", async (ring) => {
  using chat = ring.chat([{ role: "system", content: "Be brief" }]);
  for await (const _ of chat.send("a", GREEDY));
  const second = chat.send("b", LONG);
  const roles = () => chat.messages.map(({ role }) => role).join(" ");
  assertEquals(roles(), "system user assistant user");
  second.cancel();
  const third = chat.send("c", GREEDY);
  assertEquals(roles(), "system user assistant user assistant user");
  const { text } = await third.result;
  assertEquals(chat.messages.at(-1), { role: "assistant", content: text });
  assertEquals((await second.result).finishReason, "cancel");
});

test("Generation.cancel() of an answered message leaves the next answer alone", async (ring) => {
  using chat = ring.chat();
  const stopping = new AbortController();
  const first = chat.send("a", { ...GREEDY, signal: stopping.signal });
  const pieces = first[Symbol.asyncIterator]();
  await pieces.next();
  await first.result;
  const second = chat.send("b", GREEDY);
  first.cancel();
  stopping.abort();
  await pieces.return?.();
  assertEquals((await second.result).finishReason, "length");
});

test("Chat.send() refuses a message while one is being answered", async (ring) => {
  const chat = ring.chat();
  const first = chat.send("a", LONG);
  assertThrows(
    () => chat.send("b"),
    TypeError,
    "Cannot send: the last message is still being answered; wait for it or cancel it",
  );
  assertEquals(chat.messages.length, 1);
  chat[Symbol.dispose]();
  assertEquals((await first.result).finishReason, "cancel");
  assertThrows(() => chat.send("c"), TypeError, "Cannot send: the conversation was ended");
});

test("Chat.send() answers as from the start after a turn that never had a slot", async (ring) => {
  for (let seed = 0; seed < 3; seed++) {
    using chat = ring.chat();
    // A cut, random answer: what is cached is not what its text comes to as tokens.
    await chat.send(`hello ${seed}`, { maxTokens: 12, seed, temperature: 2, ignoreEos: true })
      .result;
    const other = ring.generate("other", LONG);
    const queued = chat.send(
      "a question that is rather long, so that it is longer than what is cached by now",
      GREEDY,
    );
    queued.cancel();
    assertEquals((await queued.result).cachedTokens, 0);
    other.cancel();
    const before = [...chat.messages, { role: "user", content: "third" }];
    const { ids, cachedTokens } = await chat.send("third", GREEDY).result;
    assertEquals(ids, (await ring.generate(before, GREEDY).result).ids);
    assert(cachedTokens > 0, "the first message is cached");
  }
}, { slots: 1 });

test("Chat.send() takes its message back where the ring ends under it", async (ring) => {
  const chat = ring.chat();
  await chat.send("a", GREEDY).result;
  const generation = chat.send("b", LONG);
  await ring[Symbol.asyncDispose]();
  assertEquals(chat.messages.map(({ role }) => role), ["user", "assistant"]);
  const code = await generation.result.catch((error) => (error as MdiError).code);
  assertEquals([code, await ring.ended], ["cancelled", undefined]);
  assertThrows(() => chat.send("c"), MdiError, "The ring was closed");
  assertEquals(chat.messages.length, 2);
});

test("Ring.summary() leaves out the time between the turns of a chat", async (ring) => {
  using chat = ring.chat();
  const start = performance.now();
  await chat.send("a", GREEDY).result;
  await new Promise((resolve) => setTimeout(resolve, 300));
  await chat.send("b", GREEDY).result;
  const { seconds, tokens } = await ring.summary();
  assertEquals(tokens, 12);
  assert(seconds > 0 && seconds < (performance.now() - start - 290) / 1000, `${seconds}`);
});

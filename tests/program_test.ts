/** What a program does with mod.ts: nodes and ring in one process, on loopback. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { fileURLToPath } from "node:url";
import { type Generation, inspectModel, MdiError, openRing, pullModel, serveNode } from "../mod.ts";
import { temporaryDirectory } from "./support/refusal.ts";

const MODEL = fileURLToPath(new URL("./fixtures/tiny-llama-tied", import.meta.url));
const GREEDY = { greedy: true, maxTokens: 12, ignoreEos: true } as const;

async function idsOf(generation: Generation): Promise<number[]> {
  return (await generation.result).ids;
}

Deno.test("openRing() and serveNode() give a program one node's answers from three", async () => {
  await using dir = await temporaryDirectory();
  const home = (name: string) => ({ home: `${dir.path}/${name}` });
  await using a = await serveNode({ ...home("a"), listen: "127.0.0.1:0", name: "a" });
  await using b = await serveNode({ ...home("b"), listen: "127.0.0.1:0", name: "b" });
  let expected: number[];
  {
    await using alone = await openRing({ ...home("s"), model: MODEL });
    expected = await idsOf(alone.generate([1, 2, 3], GREEDY));
  }
  const options = { ...home("s"), model: MODEL, peers: [a.address, b.address], layers: [2, 1, 1] };
  {
    await using ring = await openRing(options);
    const generation = ring.generate([1, 2, 3], GREEDY);
    const pieces = await Array.fromAsync(generation);
    assertEquals(pieces.map(({ id }) => id), expected);
    const result = await generation.result;
    assertEquals(result.text, pieces.map(({ text }) => text).join(""));
    assertEquals([result.finishReason, result.promptTokens], ["length", 3]);
    const { nodes, tokens } = await ring.summary();
    assertEquals(nodes.map((node) => node.layers), [[0, 1], [2, 2], [3, 3]]);
    assertEquals(tokens, 12);
    const busy = await assertRejects(
      () => openRing({ ...options, ...home("t"), name: "other" }),
      MdiError,
    );
    assertEquals(busy.code, "busy");
  }
  // The nodes are free again.
  await using again = await openRing(options);
  assertEquals(await idsOf(again.generate([1, 2, 3], GREEDY)), expected);
});

Deno.test("Ring.generate() ends early by its signal, by leaving the loop and by cancel()", async () => {
  await using dir = await temporaryDirectory();
  await using ring = await openRing({ home: dir.path, model: MODEL });
  const long = { greedy: true, maxTokens: 400, ignoreEos: true };
  const stopping = new AbortController();
  const bySignal = ring.generate("Hello", { ...long, signal: stopping.signal });
  const byLeaving = ring.generate("Hello", long);
  const byCancel = ring.generate("Hello", long);
  for await (const _ of bySignal) {
    stopping.abort();
  }
  for await (const _ of byLeaving) break;
  byCancel.cancel();
  for (const each of [bySignal, byLeaving, byCancel]) {
    const { finishReason, ids } = await each.result;
    assertEquals(finishReason, "cancel");
    assert(ids.length < 400);
  }
  const error = assertThrows(
    () => ring.generate("Hello", { signal: stopping.signal }),
    MdiError,
  );
  assertEquals(error.code, "cancelled");
  assertThrows(() => ring.generate(""), RangeError);
  assertThrows(() => ring.generate([-1]), RangeError);
  assertThrows(() => ring.generate("Hello", { maxTokens: NaN }), RangeError);
  assertThrows(() => ring.generate("Hello", { temperature: -1 }), RangeError);
  assertEquals(
    assertThrows(() => ring.generate("word ".repeat(2000)), MdiError).code,
    "context_exceeded",
  );
});

Deno.test("Chat.send() computes only what its caches lack, and answers as from the start", async () => {
  await using dir = await temporaryDirectory();
  await using ring = await openRing({ home: dir.path, model: MODEL });
  using chat = ring.chat();
  const first = await chat.send("Hello there", GREEDY).result;
  assertEquals(first.cachedTokens, 0);
  const second = await chat.send("Go on", GREEDY).result;
  assert(second.cachedTokens >= first.promptTokens, `${second.cachedTokens} tokens reused`);
  assert(second.cachedTokens < second.promptTokens);
  assertEquals(chat.messages.map(({ role }) => role), ["user", "assistant", "user", "assistant"]);
  const fresh = await ring.generate(chat.messages.slice(0, 3), GREEDY).result;
  assertEquals(fresh.ids, second.ids);
  assertEquals(fresh.promptTokens, second.promptTokens);
});

Deno.test("openRing() is ended by its signal, and leaves nothing under way", async () => {
  await using dir = await temporaryDirectory();
  const ending = new AbortController();
  ending.abort();
  const error = await assertRejects(
    () => openRing({ home: dir.path, model: MODEL, signal: ending.signal }),
    MdiError,
  );
  assertEquals(error.code, "cancelled");
});

Deno.test("pullModel() and inspectModel() say what a model is", async () => {
  await using dir = await temporaryDirectory();
  const pulled = await pullModel(MODEL, { home: dir.path });
  assertEquals([pulled.name, pulled.downloadedBytes], ["tiny-llama-tied", 0]);
  const description = await inspectModel(MODEL, { home: dir.path });
  assertEquals(description.config.layers, 4);
});

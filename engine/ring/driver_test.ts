import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { MdiError } from "../../wasm/error.ts";
import { createSampler } from "../text/sampler.ts";
import { resolveSampling } from "../text/sampling_options.ts";
import { begin, hashRing } from "./_hash_stage.ts";
import type { RingDriver } from "./driver.ts";

const PROMPT = [3, 1, 4, 1, 5, 9, 2, 6];

/** A conversation: its first turn submits, the later ones continue. */
function chatOf(driver: RingDriver, capacity = 100) {
  let id: number | undefined;
  return (prompt: number[], limit: number) => {
    const turn = begin(
      prompt,
      limit,
      (request) =>
        id === undefined
          ? driver.submit({ ...request, capacity, keep: true })
          : driver.continue(id, request),
    );
    id = turn.sample;
    return turn;
  };
}

function generate(driver: RingDriver, prompt: number[], limit: number) {
  return begin(prompt, limit, (request) => driver.submit(request));
}

/** What a ring that has computed nothing else answers. */
async function fresh(prompt: number[], limit: number, nodes = 1): Promise<number[]> {
  return (await generate(hashRing({ nodes }).driver, prompt, limit).result).ids;
}

Deno.test("RingDriver.submit() gives a sample among others the ids that it has alone", async () => {
  const expected = await fresh(PROMPT, 12, 3);
  assert(new Set(expected).size > 3, "the ids tell something");
  const { driver } = hashRing({ nodes: 3 });
  const all = Array.from({ length: 6 }, () => generate(driver, PROMPT, 12).result);
  for (const { ids, finish, cached } of await Promise.all(all)) {
    assertEquals([ids, finish, cached], [expected, "length", 0]);
  }
});

Deno.test("RingDriver.continue() computes again what a turn that had no slot replaced", async () => {
  const { driver } = hashRing({ slots: 1 });
  const chat = chatOf(driver);
  const { ids } = await chat(PROMPT, 5).result;
  const hog = generate(driver, [1], 50);
  // Of what is cached it has the first four ids, and it is longer.
  const queued = chat([...PROMPT.slice(0, 4), 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8], 5);
  queued.stop();
  assertEquals(await queued.result, { finish: "cancel", ids: [], cached: 0 });
  hog.stop();
  const next = [...PROMPT.slice(0, 4), 8, 8, 8, 8, 7, 7, 7];
  const result = await chat(next, 5).result;
  assertEquals(result, { finish: "length", ids: await fresh(next, 5), cached: 4 });
  // What it left in the caches is used again.
  const third = [...next, ...result.ids, 2];
  const last = await chat(third, 5).result;
  assertEquals(last.ids, await fresh(third, 5));
  assertEquals([ids.length, last.cached], [5, next.length + 4]);
});

Deno.test("RingDriver.continue() computes again what a rejected turn replaced", async () => {
  const { driver } = hashRing({ slots: 1, queueLimit: 0 });
  const chat = chatOf(driver);
  await chat(PROMPT, 5).result;
  const hog = generate(driver, [1], 50);
  const other = [...PROMPT.slice(0, 4), 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8];
  assertEquals(assertThrows(() => chat(other, 5), MdiError).code, "busy");
  hog.stop();
  const { ids, cached } = await chat(other, 5).result;
  assertEquals([ids, cached], [await fresh(other, 5), 4]);
});

Deno.test("RingDriver stops a turn before its truncate could go", async () => {
  const { driver, stage } = hashRing({ nodes: 2 });
  const chat = chatOf(driver);
  await chat(PROMPT, 5).result;
  const gate = Promise.withResolvers<void>();
  stage.gate = gate.promise;
  const other = generate(driver, PROMPT, 5);
  chat([3, 1, 4], 5).stop();
  gate.resolve();
  assertEquals((await other.result).ids, await fresh(PROMPT, 5, 2));
  assertEquals((await chat(PROMPT, 5).result).ids, await fresh(PROMPT, 5, 2));
});

Deno.test("Turn.stop() ends its own turn and no other", async () => {
  const { driver } = hashRing();
  const chat = chatOf(driver);
  const first = chat(PROMPT, 5);
  await first.result;
  const second = chat([1, 2, 3], 20);
  first.stop();
  assertEquals((await second.result).finish, "length");
  second.stop();
  const third = chat([1, 2, 3], 20);
  third.stop();
  assertEquals((await third.result).finish, "cancel");
});

Deno.test("RingDriver tells a turn's end in the step that ends it", async () => {
  const { driver } = hashRing();
  let ended = 0;
  const turn = driver.submit({
    prompt: PROMPT,
    limit: 50,
    endTokens: [],
    sampler: createSampler(resolveSampling({ greedy: true }, {})),
    accept: () => false,
    ended: () => ended++,
  });
  await Promise.resolve();
  turn.stop();
  assertEquals(ended, 1);
});

Deno.test("RingDriver.close() cancels what is under way and ends without a reason", async () => {
  const { driver } = hashRing();
  const { result } = generate(driver, PROMPT, 50);
  driver.close();
  driver.fail(new Error("too late"));
  assertEquals((await assertRejects(() => result, MdiError)).code, "cancelled");
  assertEquals(await driver.ended, undefined);
  assertThrows(() => generate(driver, PROMPT, 5), MdiError, "closed");
});

Deno.test("RingDriver.fail() ends what is under way, with the reason", async () => {
  const { driver } = hashRing();
  const { result } = generate(driver, PROMPT, 50);
  const reason = new MdiError("peer_lost", "gone");
  driver.fail(reason);
  assertEquals(await assertRejects(() => result), reason);
  assertEquals(await driver.ended, reason);
});

Deno.test("RingDriver computes the next frame while the link takes the last one", async () => {
  const link = Promise.withResolvers<void>();
  const { driver, stage } = hashRing({ nodes: 2 }, { sending: () => link.promise });
  const forward = stage.forward.bind(stage);
  const both = Promise.withResolvers<void>();
  let calls = 0;
  stage.forward = (batch) => {
    if (++calls === 2) both.resolve();
    return forward(batch);
  };
  const all = [1, 2].map((id) => generate(driver, [id], 3).result);
  await both.promise;
  link.resolve();
  const expected = await Promise.all([1, 2].map((id) => fresh([id], 3, 2)));
  assertEquals((await Promise.all(all)).map(({ ids }) => ids), expected);
});

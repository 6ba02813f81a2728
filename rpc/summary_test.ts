import { assert, assertEquals } from "@std/assert";
import { RunCounter } from "./summary.ts";

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

Deno.test("RunCounter counts nothing before the first token", () => {
  const counter = new RunCounter();
  assertEquals(counter.seconds, 0);
  counter.submitted(5);
  assertEquals([counter.seconds, counter.timeToFirstTokenMs, counter.samples], [0, 0, 1]);
  counter.ended(true);
  assertEquals(counter.seconds, 0);
});

Deno.test("RunCounter.seconds go from the first entry to the last token", async () => {
  const counter = new RunCounter();
  const start = performance.now();
  counter.submitted(5);
  counter.submitted(5);
  await sleep(20);
  counter.token(true);
  counter.token(true);
  counter.ended(false);
  await sleep(20);
  counter.token(false);
  const last = (performance.now() - start) / 1000;
  const { seconds } = counter;
  assert(seconds > 0.035 && seconds <= last, `${seconds} of ${last}`);
  // What ends without a token does not move the last one.
  await sleep(20);
  counter.ended(false);
  assertEquals(counter.seconds, seconds);
  assertEquals([counter.tokens, counter.samples], [3, 2]);
});

Deno.test("RunCounter.seconds leave out the time between the turns of a chat", async () => {
  const counter = new RunCounter();
  for (let turn = 0; turn < 3; turn++) {
    const before = counter.seconds;
    counter.submitted(5);
    assertEquals(counter.seconds, before);
    counter.token(true);
    counter.ended(false);
    await sleep(40);
  }
  assert(counter.seconds < 0.04, `${counter.seconds}`);
});

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { MdiError } from "../wasm/error.ts";
import { CreditedQueue, CreditGate } from "./credits.ts";

Deno.test("CreditedQueue and CreditGate never lose, reorder or overfill", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 9 }),
      fc.array(fc.boolean()),
      async (window, turns) => {
        const gate = new CreditGate();
        let queued = 0;
        const queue = new CreditedQueue<number>({
          window,
          grant: (n) => gate.grant(n),
          onDone() {},
        });
        const got: number[] = [];
        const sends: Promise<void>[] = [];
        for (const [i, take] of turns.entries()) {
          sends.push(gate.run(() => {
            queued++;
            queue.push(i);
          }));
          if (queued > got.length + window) throw new Error("The queue is over its window");
          if (take && queued > got.length) got.push((await queue.next()).value);
        }
        while (got.length < turns.length) got.push((await queue.next()).value);
        await Promise.all(sends);
        assertEquals(got, turns.map((_, i) => i));
      },
    ),
  );
});

Deno.test("CreditedQueue grants half a window at a time", async () => {
  const grants: number[] = [];
  const queue = new CreditedQueue<number>({ window: 8, grant: (n) => grants.push(n), onDone() {} });
  for (let i = 0; i < 8; i++) queue.push(i);
  for (let i = 0; i < 8; i++) await queue.next();
  assertEquals(grants, [8, 4, 4]);
});

Deno.test("CreditedQueue refuses an item without a credit", () => {
  const queue = new CreditedQueue<number>({ window: 2, grant() {}, onDone() {} });
  queue.push(1);
  queue.push(2);
  assertEquals(assertThrows(() => queue.push(3), MdiError, "2 credits").code, "protocol");
});

Deno.test("CreditedQueue takes one reader at a time and any sensible window", async () => {
  const queue = new CreditedQueue<number>({ window: 2, grant() {}, onDone() {} });
  const first = queue.next();
  await assertRejects(() => queue.next(), TypeError);
  queue.end();
  assertEquals((await first).done, true);
  for (const window of [0, -1, 1.5, NaN, 1e9]) {
    assertThrows(() => new CreditedQueue({ window, grant() {}, onDone() {} }), RangeError);
  }
});

Deno.test("CreditedQueue is done once: at the end, when it is read, or when the reader leaves", async () => {
  for (const how of ["end", "drain", "return"] as const) {
    let done = 0;
    const queue = new CreditedQueue<number>({ window: 2, grant() {}, onDone: () => done++ });
    if (how !== "end") queue.push(1);
    if (how === "return") await queue.return();
    queue.end();
    assertEquals(done, how === "drain" ? 0 : 1);
    if (how === "drain") await queue.next();
    await queue.next();
    await queue.return();
    assertEquals(done, 1);
  }
});

Deno.test("CreditGate does not spend a credit on a task that throws", async () => {
  const gate = new CreditGate();
  const fails = () => {
    throw new RangeError("malformed");
  };
  const waiting = assertRejects(() => gate.run(fails), RangeError);
  let ran = 0;
  const next = gate.run(() => void ran++);
  gate.grant(2);
  await waiting;
  await next;
  await assertRejects(() => gate.run(fails), RangeError);
  await gate.run(() => void ran++);
  assertEquals(ran, 2);
});

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Clock, systemClock } from "./clock.ts";
import { VirtualClock } from "./ring/virtual_clock.ts";

/** Awaits a sleep; virtual time has to be pushed. */
type Wait = (sleep: Promise<void>) => Promise<void>;

function testClock(name: string, make: () => { clock: Clock; wait: Wait }) {
  Deno.test(`${name} sleeps at least as long as it is told`, async () => {
    const { clock, wait } = make();
    const start = clock.now();
    await wait(clock.sleep(5));
    assert(clock.now() - start >= 4.9, `slept ${clock.now() - start} ms`);
  });

  Deno.test(`${name} wakes sleepers in the order of their times`, async () => {
    const { clock, wait } = make();
    const woken: number[] = [];
    const sleep = (ms: number) => clock.sleep(ms).then(() => void woken.push(ms));
    const all = Promise.all([sleep(30), sleep(1), sleep(15)]);
    await wait(all.then(() => {}));
    assertEquals(woken, [1, 15, 30]);
  });

  Deno.test(`${name} ends a sleep when the signal aborts, before or during it`, async () => {
    const { clock } = make();
    const controller = new AbortController();
    const sleep = clock.sleep(60_000, { signal: controller.signal });
    controller.abort(new TypeError("enough"));
    await assertRejects(() => sleep, TypeError, "enough");
    await assertRejects(() => clock.sleep(1, controller), TypeError, "enough");
  });

  Deno.test(`${name} refuses times that no timer keeps`, () => {
    const { clock } = make();
    for (const ms of [-1, NaN, Infinity, 2 ** 31]) {
      assertThrows(() => void clock.sleep(ms), RangeError, String(ms));
    }
  });
}

testClock("systemClock", () => ({ clock: systemClock, wait: (sleep) => sleep }));
testClock("VirtualClock", () => {
  const clock = new VirtualClock();
  return {
    clock,
    wait: async (sleep) => {
      // One macrotask a timer lets whatever it woke start its next sleep.
      while (clock.next()) await new Promise((resolve) => setTimeout(resolve));
      await sleep;
    },
  };
});

Deno.test("VirtualClock fires timers of one moment in the order they were started", () => {
  const clock = new VirtualClock();
  const fired: string[] = [];
  clock.after(2, () => fired.push("b"));
  clock.after(1, () => {
    fired.push("a");
    clock.after(1, () => fired.push("d"));
  });
  const cancel = clock.after(2, () => fired.push("never"));
  clock.after(2, () => fired.push("c"));
  cancel();
  while (clock.next());
  assertEquals(fired, ["a", "b", "c", "d"]);
  assertEquals(clock.now(), 2);
});

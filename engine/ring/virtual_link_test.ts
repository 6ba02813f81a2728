import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { VirtualClock } from "./virtual_clock.ts";
import { VirtualLink, type VirtualLinkOptions } from "./virtual_link.ts";

/** A link whose receiver takes messages at once, and what arrived when. */
function testLink(options: Partial<VirtualLinkOptions<number>> = {}, takes = true) {
  const clock = new VirtualClock();
  const arrived: [message: number, at: number][] = [];
  const link: VirtualLink<number> = new VirtualLink<number>(clock, {
    rttMs: 10,
    mbit: 8,
    jitterMs: 0,
    loss: 0,
    random: () => 0.999,
    credits: 16,
    deliver: (message) => {
      arrived.push([message, clock.now()]);
      if (takes) link.take();
    },
    ...options,
  });
  const run = () => {
    while (clock.next());
    return arrived;
  };
  return { clock, link, arrived, run };
}

/** Gives the numbers one after another, then ones that lose nothing. */
function numbers(...values: number[]): () => number {
  return () => values.shift() ?? 0.999;
}

Deno.test("VirtualLink takes half a round trip and the bytes' time", () => {
  const { link, run } = testLink();
  link.send(1, 1000, () => {}); // 1 ms at 8 Mbit/s
  link.send(2, 3000, () => {});
  assertEquals(run(), [[1, 6], [2, 9]]);
  assertEquals(link.busyMs, 4);
});

Deno.test("VirtualLink keeps the order under jitter", () => {
  const values = numbers(1, 0, 0.5);
  const { link, run } = testLink({ jitterMs: 4, mbit: Infinity, random: values });
  for (const message of [1, 2, 3]) link.send(message, 100, () => {});
  assertEquals(run(), [[1, 9], [2, 9], [3, 9]]);
});

Deno.test("VirtualLink waits for a lost message's retransmission timer where nothing follows", () => {
  const { link, run } = testLink({ loss: 0.5, mbit: Infinity, random: numbers(0) });
  link.send(1, 100, () => {});
  assertEquals(run(), [[1, 5 + 10 + 200]]);
});

Deno.test("VirtualLink learns of a loss from what follows, and delivers in order", () => {
  const { clock, link, run } = testLink({ loss: 0.5, mbit: Infinity, random: numbers(0) });
  link.send(1, 100, () => {});
  clock.after(20, () => link.send(2, 100, () => {}));
  const at = 25 + 12.5;
  assertEquals(run(), [[1, at], [2, at]]);
});

Deno.test("VirtualLink learns of a loss from the same message's later segments", () => {
  const { link, run } = testLink({ loss: 0.5, mbit: Infinity, random: numbers(0) });
  link.send(1, 3000, () => {});
  assertEquals(run(), [[1, 5 + 12.5]]);
});

Deno.test("VirtualLink mends losses that follow each other side by side", () => {
  const random = numbers(0, 0, 0.9, 0);
  const { clock, link, run } = testLink({ loss: 0.5, mbit: Infinity, random });
  for (let i = 0; i < 4; i++) clock.after(i * 2, () => link.send(i, 100, () => {}));
  // The third arrives at 9 ms and tells of the first two; nothing tells of the last.
  assertEquals(run(), [[0, 21.5], [1, 21.5], [2, 21.5], [3, 221]]);
});

Deno.test("VirtualLink stalls for as long as it is told to", () => {
  const options = { loss: 0.5, mbit: Infinity, stallMs: 40, random: numbers(0) };
  const { clock, link, run } = testLink(options);
  link.send(1, 100, () => {});
  clock.after(20, () => link.send(2, 100, () => {}));
  assertEquals(run(), [[1, 45], [2, 45]]);
});

Deno.test("VirtualLink loses about as many segments as it is told to", () => {
  let state = 1;
  const random = () => (state = state * 48271 % 2147483647) / 2147483647;
  const { clock, link, arrived, run } = testLink({ loss: 0.02, mbit: Infinity, random });
  for (let i = 0; i < 5000; i++) clock.after(i * 1000, () => link.send(i, 100, () => {}));
  run();
  assertEquals(arrived.map(([message]) => message), arrived.map((_, i) => i));
  const late = arrived.filter(([message, at]) => at - message * 1000 > 6).length;
  assertAlmostEquals(late, 100, 30);
});

Deno.test("VirtualLink sends no more messages than it has credits", () => {
  const { link, arrived, run } = testLink({ credits: 4, mbit: Infinity }, false);
  let onWay = 0;
  for (let i = 0; i < 7; i++) link.send(i, 100, () => onWay++);
  run();
  assertEquals([onWay, arrived.length], [4, 4]);
  link.take();
  run();
  assertEquals(onWay, 4);
  link.take(); // half of the window: both credits go back
  run();
  assertEquals([onWay, arrived.length], [6, 6]);
  assertEquals(arrived.at(-1), [5, 15]);
});

Deno.test("VirtualLink tells when messages were on it", () => {
  const seen: number[][] = [];
  const { link, run } = testLink({ observe: (...times) => seen.push(times) });
  link.send(1, 1000, () => {});
  link.send(2, 1000, () => {});
  run();
  assertEquals(seen, [[1, 0, 6], [2, 1, 7]]);
  assert(seen.every(([, sent, at]) => at! >= sent!));
});

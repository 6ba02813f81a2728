import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { arrivals, longest } from "./workload.ts";

Deno.test("arrivals() come all at once, or at random at a rate", () => {
  const lengths = { promptTokens: 3, tokens: 5 };
  const all = [...arrivals({ samples: 3, ...lengths }, 0n)];
  assertEquals(all, Array(3).fill({ atMs: 0, ...lengths }));
  const spread = [...arrivals({ samples: 4000, perSecond: 20, ...lengths }, 1n)];
  spread.slice(1).forEach(({ atMs }, i) => assert(atMs >= spread[i]!.atMs));
  assertAlmostEquals(spread.at(-1)!.atMs, 200_000, 10_000);
});

Deno.test("arrivals() draw lengths evenly, both ends included", () => {
  const tokens = { min: 2, max: 4 };
  const drawn = [...arrivals({ samples: 3000, promptTokens: { min: 1, max: 9 }, tokens }, 2n)];
  const counts = [2, 3, 4].map((length) => drawn.filter(({ tokens }) => tokens === length).length);
  assertEquals(counts.reduce((sum, count) => sum + count), 3000);
  for (const count of counts) assertAlmostEquals(count, 1000, 100);
  assertEquals(longest(tokens), 4);
  assertEquals(longest(7), 7);
});

Deno.test("arrivals() draw each kind of number from a stream of its own", () => {
  const prompts = (tokens: number | { min: number; max: number }, perSecond?: number) =>
    [...arrivals({
      samples: 20,
      promptTokens: { min: 1, max: 100 },
      tokens,
      ...(perSecond && { perSecond }),
    }, 3n)].map(({ promptTokens }) => promptTokens);
  assertEquals(prompts(5), prompts({ min: 1, max: 9 }, 4));
});

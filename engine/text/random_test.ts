import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { randomSeed, randomStream, SplitMix64 } from "./random.ts";

Deno.test("SplitMix64 gives the published numbers for the seed 1234567", () => {
  const random = new SplitMix64(1234567n);
  assertEquals(Array.from({ length: 5 }, () => random.nextUint64()), [
    6457827717110365317n,
    3203168211198807973n,
    9817491932198370423n,
    4593380528125082431n,
    16408922859458223821n,
  ]);
});

Deno.test("randomStream() is the same for the same seed and stream and differs otherwise", () => {
  const draws = (seed: bigint, stream: number) => {
    const random = randomStream(seed, stream);
    return Array.from({ length: 4 }, () => random.nextFloat());
  };
  assertEquals(draws(7n, 3), draws(7n, 3));
  assertNotEquals(draws(7n, 3), draws(7n, 4));
  assertNotEquals(draws(7n, 3), draws(8n, 3));
  const first = Array.from({ length: 4000 }, (_, k) => randomStream(0n, k).nextFloat());
  const mean = first.reduce((a, b) => a + b) / first.length;
  assert(Math.abs(mean - 0.5) < 0.02, `first draws of the streams have the mean ${mean}`);
});

Deno.test("randomSeed() is a safe integer", () => {
  for (let i = 0; i < 100; i++) assert(randomSeed() <= BigInt(Number.MAX_SAFE_INTEGER));
});

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { commonPrefix, Sample } from "./sample.ts";

function sampleOf(prompt: number[], limit = 8): Sample {
  return new Sample({ id: 3, prompt, limit, endTokens: [2, 7] });
}

Deno.test("commonPrefix() counts equal ids from the start", () => {
  assertEquals(commonPrefix([], [1]), 0);
  assertEquals(commonPrefix([1, 2, 3], Int32Array.of(1, 2, 4)), 2);
  assertEquals(commonPrefix([1, 2], [1, 2, 3]), 2);
  fc.assert(
    fc.property(
      fc.array(fc.nat(3)),
      fc.array(fc.nat(3)),
      fc.array(fc.nat(3)),
      (common, a, b) => {
        const first = [...common, ...a, 8];
        const second = [...common, ...b, 9];
        const length = commonPrefix(first, second);
        assertEquals(first.slice(0, length), second.slice(0, length));
        assertEquals(first[length] === second[length], false);
      },
    ),
    { seed: 7 },
  );
});

Deno.test("Sample ends at an end token, keeping its id", () => {
  const sample = sampleOf([5, 6]);
  assertEquals([sample.append(1), sample.append(7)], [null, "stop"]);
  assertEquals([...sample.ids()], [5, 6, 1, 7]);
  assertEquals([...sample.ids(sample.promptLength)], [1, 7]);
  assertThrows(() => sample.append(1), TypeError, "it ended (stop)");
});

Deno.test("Sample ends at its limit", () => {
  const sample = sampleOf([5], 2);
  assertEquals([sample.append(1), sample.append(1)], [null, "length"]);
  assertEquals([sample.length, sample.generated, sample.capacity], [3, 2, 3]);
});

Deno.test("Sample keeps the first reason it ended for", () => {
  const sample = sampleOf([5]);
  sample.end("cancel");
  sample.end("stop");
  assertEquals(sample.finish, "cancel");
});

Deno.test("Sample goes on with the next turn from what both have in common", () => {
  const sample = sampleOf([5, 6]);
  sample.append(1);
  sample.append(2);
  assertEquals(sample.nextTurn([5, 6, 1, 9, 9], 1), 3);
  assertEquals([...sample.ids()], [5, 6, 1, 9, 9]);
  assertEquals([sample.finish, sample.generated], [null, 0]);
  assertEquals(sample.append(4), "length");
  assertEquals(sample.nextTurn([5], 4), 1);
  assertEquals([...sample.ids()], [5]);
});

Deno.test("Sample refuses an empty prompt and a limit below 1", () => {
  assertThrows(() => sampleOf([]), RangeError, "no tokens");
  for (const limit of [0, -1, NaN, 1.5]) {
    assertThrows(() => sampleOf([1], limit), RangeError, String(limit));
  }
});

Deno.test("Sample holds any ids in their order", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(99), { minLength: 1, maxLength: 200 }),
      fc.array(fc.nat(99), { maxLength: 200 }),
      (prompt, drawn) => {
        const sample = new Sample({ id: 0, prompt, limit: 1000, endTokens: [] });
        for (const id of drawn) sample.append(id);
        assertEquals([...sample.ids()], [...prompt, ...drawn]);
        assertEquals([...sample.ids(1, 3)], [...prompt, ...drawn].slice(1, 3));
      },
    ),
    { seed: 7 },
  );
});

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import { exactTours, heuristicTours } from "./orders.ts";

/** Links between up to so many nodes; some may not be used. */
function links(maxNodes: number) {
  return fc.integer({ min: 2, max: maxNodes }).chain((n) =>
    fc.array(
      fc.array(fc.oneof({ weight: 9, arbitrary: fc.nat(20) }, fc.constant(Infinity)), {
        minLength: n,
        maxLength: n,
      }),
      { minLength: n, maxLength: n },
    )
  );
}

function lengthOf(ms: readonly (readonly number[])[], order: readonly number[]): number {
  return order.reduce((sum, node, at) => sum + ms[node]![order[(at + 1) % order.length]!]!, 0);
}

function permutations(nodes: readonly number[]): number[][] {
  if (nodes.length === 0) return [[]];
  return nodes.flatMap((node) =>
    permutations(nodes.filter((each) => each !== node)).map((rest) => [node, ...rest])
  );
}

Deno.test("exactTours() finds the least way of every set, and the first order within a budget", () => {
  fc.assert(fc.property(links(6), fc.nat(63), fc.nat(10), (ms, mask, more) => {
    const secondaries = ms.flatMap((_, i) => i > 0 && (mask >> i) & 1 ? [i] : []);
    const all = permutations(secondaries).map((rest) => [0, ...rest]);
    const least = secondaries.length === 0
      ? 0
      : Math.min(...all.map((order) => lengthOf(ms, order)));
    const tours = exactTours(ms);
    assertAlmostEquals(tours.leastMs(secondaries), least);
    if (least === Infinity) return;
    const first = secondaries.length === 0
      ? [0]
      : all.find((order) => lengthOf(ms, order) <= least + more);
    assertEquals(tours.order(secondaries, least + more), first);
  }));
});

Deno.test("heuristicTours() takes each node once, and the given order where no other is better", () => {
  fc.assert(fc.property(links(12), (ms) => {
    const secondaries = ms.map((_, i) => i).slice(1);
    const tours = heuristicTours(ms);
    const order = tours.order(secondaries, Infinity);
    assertEquals(order.toSorted((a, b) => a - b), [0, ...secondaries]);
    assertAlmostEquals(lengthOf(ms, order), tours.leastMs(secondaries));
    assert(lengthOf(ms, order) <= lengthOf(ms, [0, ...secondaries]));
  }));
  const alike = Array.from({ length: 14 }, () => Array<number>(14).fill(0.1));
  const secondaries = alike.map((_, i) => i).slice(1);
  assertEquals(heuristicTours(alike).order(secondaries, 2), [0, ...secondaries]);
});

Deno.test("heuristicTours() unravels a chain of devices that lie in a line", () => {
  const places = [0, 9, 3, 11, 5, 1, 10, 7, 2, 8, 4, 6];
  const ms = places.map((a) => places.map((b) => Math.abs(a - b)));
  const secondaries = places.map((_, i) => i).slice(1);
  assertEquals(heuristicTours(ms).leastMs(secondaries), 22);
});

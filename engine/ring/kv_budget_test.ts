import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { KvCaches } from "../../wasm/simd/caches.ts";
import { KernelMemory } from "../../wasm/simd/memory.ts";
import { PAGE } from "../../wasm/simd/abi.ts";
import { KvBudget, kvLimit } from "./kv_budget.ts";

Deno.test("kvLimit() is what the node with the least room holds, in the largest pages", () => {
  const starter = { memoryBytes: 0, kvBytesPerToken: 0, kvPageTokens: 64 };
  const node = (memoryBytes: number, kvBytesPerToken: number, kvPageTokens = 1) => ({
    ...{ memoryBytes, kvBytesPerToken, kvPageTokens },
  });
  assertEquals(kvLimit([node(1000, 30)]), { tokens: 33, pageTokens: 1 });
  assertEquals(kvLimit([starter, node(9000, 30), node(999, 10)]), { tokens: 99, pageTokens: 1 });
  assertEquals(kvLimit([node(9000, 30, 64), node(999, 10)]), { tokens: 64, pageTokens: 64 });
  assertEquals(kvLimit([node(630, 10, 64)]), { tokens: 0, pageTokens: 64 });
  assertEquals(kvLimit([node(-5, 10)]), { tokens: 0, pageTokens: 1 });
  assertEquals(kvLimit([starter]), { tokens: Number.MAX_SAFE_INTEGER, pageTokens: 1 });
});

Deno.test("KvBudget never reserves more than it has and gets all of it back", () => {
  fc.assert(
    fc.property(fc.nat(100), fc.array(fc.nat(60)), (tokens, wishes) => {
      const budget = new KvBudget({ tokens, pageTokens: 1 });
      const granted = wishes.filter((wish) => {
        const fits = budget.reserved + wish <= tokens;
        assertEquals(budget.reserve(wish), fits);
        assert(budget.reserved <= tokens);
        return fits;
      });
      for (const wish of granted) budget.free(wish);
      assertEquals(budget.reserved, 0);
      assertThrows(() => budget.free(1), RangeError, "only 0 are reserved");
    }),
    { seed: 7 },
  );
});

Deno.test("Admitted samples never take more than any node's budget, whatever its pages are", () => {
  const nodes = fc.array(
    fc.record({
      memoryBytes: fc.nat(200_000),
      kvBytesPerToken: fc.nat(100),
      kvPageTokens: fc.constantFrom(1, 16, 64),
    }),
    { minLength: 1, maxLength: 4 },
  );
  fc.assert(
    fc.property(nodes, fc.array(fc.integer({ min: 1, max: 300 })), (nodes, capacities) => {
      const budget = new KvBudget(kvLimit(nodes));
      const admitted = capacities.filter((each) => budget.reserve(each));
      for (const { memoryBytes, kvBytesPerToken, kvPageTokens } of nodes) {
        const pages = admitted.reduce((sum, each) => sum + Math.ceil(each / kvPageTokens), 0);
        assert(pages * kvPageTokens * kvBytesPerToken <= memoryBytes);
      }
    }),
    { seed: 11 },
  );
});

Deno.test("Admitted samples fill no more pages of a simd stage than its budget has, as they come and go", () => {
  const kvBytesPerToken = 16;
  /** What a sample's table of pages takes; none here has more than 16. */
  const tableBytes = 64;
  const events = fc.array(
    fc.record({ sample: fc.nat(7), capacity: fc.integer({ min: 1, max: 500 }) }),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(fc.nat(30_000), events, (memoryBytes, events) => {
      const budget = new KvBudget(kvLimit([{ memoryBytes, kvBytesPerToken, kvPageTokens: PAGE }]));
      const memory = new KernelMemory();
      const before = memory.end;
      const caches = new KvCaches(memory, PAGE * kvBytesPerToken);
      const open = new Map<number, number>();
      for (const { sample, capacity } of events) {
        const held = open.get(sample);
        if (held !== undefined) {
          caches.release(sample);
          budget.free(held);
          open.delete(sample);
        } else if (budget.reserve(capacity)) {
          caches.open(sample, capacity);
          caches.reserve({ sample, position: 0, rows: capacity });
          open.set(sample, capacity);
        }
        assert(memory.end - before <= memoryBytes + 8 * tableBytes);
      }
    }),
    { seed: 13 },
  );
});

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { KvBudget, kvTokens } from "./kv_budget.ts";

Deno.test("kvTokens() is what the node with the least room holds", () => {
  const starter = { memoryBytes: 0, kvBytesPerToken: 0 };
  assertEquals(kvTokens([{ memoryBytes: 1000, kvBytesPerToken: 30 }]), 33);
  assertEquals(
    kvTokens([
      starter,
      { memoryBytes: 9000, kvBytesPerToken: 30 },
      { memoryBytes: 999, kvBytesPerToken: 10 },
    ]),
    99,
  );
  assertEquals(kvTokens([{ memoryBytes: -5, kvBytesPerToken: 10 }]), 0);
  assertEquals(kvTokens([starter]), Number.MAX_SAFE_INTEGER);
});

Deno.test("KvBudget never reserves more than it has and gets all of it back", () => {
  fc.assert(
    fc.property(fc.nat(100), fc.array(fc.nat(60)), (tokens, wishes) => {
      const budget = new KvBudget(tokens);
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

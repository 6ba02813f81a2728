import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { candidatesOfRow, MAX_CANDIDATES, takeCandidates } from "./candidates.ts";

/** Few different values, so that many are equal, among them both infinities and zeros. */
const row = fc.array(
  fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constantFrom(-0, Infinity, -Infinity)),
  { minLength: 24, maxLength: 24 },
);

Deno.test("takeCandidates() is the head of a stable sort of each row", () => {
  const rows = fc.array(row, { maxLength: 4 });
  fc.assert(fc.property(rows, fc.integer({ min: 1, max: 30 }), (values, count) => {
    const found = takeCandidates(Float32Array.from(values.flat()), 24, count);
    assertEquals(found.count, Math.min(count, 24));
    values.forEach((each, i) => {
      const ids = each.map((_, id) => id).sort((a, b) => each[b]! - each[a]! || a - b);
      const { ids: got, logits } = candidatesOfRow(found, i);
      assertEquals(Array.from(got), ids.slice(0, count));
      assertEquals(Array.from(logits), ids.slice(0, count).map((id) => each[id]!));
    });
  }));
});

Deno.test("takeCandidates() takes as many as there may be, from rising and falling rows", () => {
  const n = 50_000;
  const rising = Float32Array.from({ length: n }, (_, id) => id >> 1);
  for (const logits of [rising, rising.toReversed()]) {
    const order = Array.from(logits, (_, id) => id).sort((a, b) =>
      logits[b]! - logits[a]! || a - b
    );
    const { ids } = takeCandidates(logits, n, MAX_CANDIDATES);
    assertEquals(Array.from(ids), order.slice(0, MAX_CANDIDATES));
  }
});

Deno.test("takeCandidates() has the first NaN alone of a row with one", () => {
  const logits = Float32Array.of(1, 2, 3, 4, NaN, NaN, 5, 6, NaN);
  const { ids, logits: values } = takeCandidates(logits, 3, 2);
  assertEquals([...ids], [2, 1, 1, 1, 2, 2]);
  assertEquals([...values], [3, 2, NaN, NaN, NaN, NaN]);
});

Deno.test("takeCandidates() refuses counts that no stage has room for", () => {
  for (const count of [0, -1, 0.5, NaN, MAX_CANDIDATES + 1]) {
    assertThrows(() => takeCandidates(new Float32Array(3), 3, count), RangeError, `${count}`);
  }
});

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { type KernelBench, openBenches, randomRow, seeded } from "./_others_kernels.ts";

const benches = await openBenches();

/** Indices by falling value, then rising index. */
function order(values: ArrayLike<number>): number[] {
  return Array.from(values, (_, i) => i).sort((a, b) => values[b]! - values[a]! || a - b);
}

function topK(bench: KernelBench, values: ArrayLike<number>, k: number): [number[], number[]] {
  bench.clear();
  const at = bench.put(values);
  const room = Math.max(k, 1);
  const [ids, out, scratch] = [bench.room(4 * room), bench.room(4 * room), bench.room(8 * room)];
  const count = bench.kernels.topK(at, values.length, k, ids, out, scratch);
  return [[...bench.ints(ids, count)], [...bench.floats(out, count)]];
}

/** Few different values, so that many are equal, among them both infinities and zeros. */
const logits = fc.array(
  fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constantFrom(-0, Infinity, -Infinity)),
  { minLength: 1, maxLength: 200 },
);

Deno.test("argMax() is the first of the greatest", () => {
  for (const bench of benches) {
    fc.assert(fc.property(logits, (values) => {
      bench.clear();
      assertEquals(bench.kernels.argMax(bench.put(values), values.length), order(values)[0]);
    }));
    const values = randomRow(seeded(1), 49_153);
    for (const at of [0, 1023, 1024, 40_000, 49_152]) {
      values[at] = 50;
      bench.clear();
      assertEquals(bench.kernels.argMax(bench.put(values), values.length), at);
      values[at] = 0;
    }
  }
});

Deno.test("topK() is the head of a stable sort", () => {
  for (const bench of benches) {
    fc.assert(fc.property(logits, fc.integer({ min: 1, max: 250 }), (values, k) => {
      const want = order(values).slice(0, k);
      assertEquals(topK(bench, values, k), [want, want.map((i) => values[i]!)]);
    }));
  }
});

Deno.test("topK() takes 1024 of 151,936, in random, rising and falling order", () => {
  const n = 151_936;
  const random = randomRow(seeded(2), n, 5).map((each) => Math.round(each * 1000) / 1000);
  const rising = Float32Array.from({ length: n }, (_, i) => i >> 1);
  for (const bench of benches) {
    for (const values of [random, rising, rising.toReversed()]) {
      const want = order(values).slice(0, 1024);
      for (const k of [1, 40, 1024]) {
        const ids = want.slice(0, k);
        assertEquals(topK(bench, values, k), [ids, ids.map((i) => values[i]!)]);
      }
    }
  }
});

Deno.test("argMax() is -1 and topK() nothing where a value is NaN, or there is none", () => {
  for (const bench of benches) {
    for (const n of [1, 4, 5, 7, 2000]) {
      for (const at of [0, n >> 1, n - 1]) {
        const values = new Float32Array(n).fill(1);
        values[at] = NaN;
        bench.clear();
        assertEquals(bench.kernels.argMax(bench.put(values), n), -1);
        assertEquals(topK(bench, values, 2), [[], []]);
      }
    }
    assertEquals(bench.kernels.argMax(65536, 0), -1);
    assertEquals(topK(bench, [], 4), [[], []]);
    assertEquals(topK(bench, [1, 2], 0), [[], []]);
  }
});

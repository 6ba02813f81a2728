import { assert, assertEquals } from "@std/assert";
import { digest, type KernelBench, openBenches, randomRow, seeded } from "./_others_kernels.ts";
import { KV_F16, KV_F32, KV_I8, PAGE } from "./abi.ts";

const benches = await openBenches();
const TYPES = [KV_F32, KV_F16, KV_I8];

/** Bytes of one kv head's chunk of a page. */
function chunkBytes(type: number, d: number): number {
  return type === KV_I8 ? 2 * (PAGE * d + 4 * PAGE) : 2 * PAGE * d * (type === KV_F32 ? 4 : 2);
}

/** One kv head of a cache: pages of stored keys and values, and what was stored. */
interface Cache {
  pages: number[];
  keys: Float32Array[];
  values: Float32Array[];
}

function fillCache(bench: KernelBench, type: number, d: number, length: number): Cache {
  const random = seeded(d * 1000 + length);
  const cache: Cache = { pages: [], keys: [], values: [] };
  for (let t = 0; t < length; t++) {
    if (t % PAGE === 0) cache.pages.push(bench.room(chunkBytes(type, d)));
    const [key, value] = [randomRow(random, d), randomRow(random, d, 0.5)];
    const page = cache.pages.at(-1)!;
    bench.kernels.storeKey(type, bench.put(key), page, t % PAGE, d);
    bench.kernels.storeValue(type, bench.put(value), page, t % PAGE, d);
    cache.keys.push(key);
    cache.values.push(value);
  }
  return cache;
}

/** Σ softmax(q·k) · v over positions from..to-1, in f64. */
function attention(q: Float32Array, cache: Cache, from: number, to: number): number[] {
  const scores = cache.keys.slice(from, to).map((key) =>
    key.reduce((sum, each, i) => sum + each * q[i]!, 0)
  );
  const largest = Math.max(...scores);
  const powers = scores.map((each) => Math.exp(each - largest));
  const sum = powers.reduce((total, each) => total + each, 0);
  return Array.from(
    q,
    (_, i) =>
      powers.reduce((total, each, t) => total + each * cache.values[from + t]![i]!, 0) / sum,
  );
}

/** One page's partial result as bytes. */
function partial(
  bench: KernelBench,
  type: number,
  q: number,
  r: number,
  d: number,
  page: number,
  first: number,
  count: number,
): Uint8Array {
  const out = bench.room(r * (d + 4) * 4);
  bench.kernels.attendPage(type, q, r, d, page, first, count, bench.room(2048 + 16 * d), out);
  const rows = Array.from({ length: r }, (_, i) => [
    ...bench.bytes(out + i * (d + 4) * 4, 4 * (d + 2)),
  ]);
  return Uint8Array.from(rows.flat());
}

/** Attention as the stage does it: page by page, merged in order. */
function attend(
  bench: KernelBench,
  type: number,
  q: number,
  r: number,
  d: number,
  cache: Cache,
  from: number,
  to: number,
): Float32Array {
  const bytes = (d + 4) * 4;
  const [state, part, out] = [bench.room(r * bytes), bench.room(r * bytes), bench.room(4 * r * d)];
  const scratch = bench.room(2048 + 16 * d);
  bench.bytes(state, r * bytes).fill(0);
  for (let i = 0; i < r; i++) bench.floats(state + i * bytes + 4 * d, 1)[0] = -Infinity;
  for (let p = Math.floor(from / PAGE); p * PAGE < to; p++) {
    const first = Math.max(from - p * PAGE, 0);
    const count = Math.min(to - p * PAGE, PAGE) - first;
    bench.kernels.attendPage(type, q, r, d, cache.pages[p]!, first, count, scratch, part);
    bench.kernels.mergePage(state, part, r, d);
  }
  bench.kernels.finishHeads(state, r, d, out);
  return bench.floats(out, r * d);
}

/** Largest distance of a value, relative to the values' own size: f32, 11 bits and 8 bits of keys and values. */
const TOLERANCE = { [KV_F32]: 2e-6, [KV_F16]: 2e-3, [KV_I8]: 3e-2 };

for (const [name, type] of [["f32", KV_F32], ["f16", KV_F16], ["i8", KV_I8]] as const) {
  Deno.test(`attention over an ${name} cache is that of f64 arithmetic`, () => {
    for (const bench of benches) {
      for (const [d, r] of [[64, 3], [8, 1], [40, 2], [80, 4], [128, 7]] as const) {
        bench.clear();
        const cache = fillCache(bench, type, d, 200);
        const q = randomRow(seeded(d), r * d, 2 / Math.sqrt(d));
        const at = bench.put(q);
        for (
          const [from, to] of [[0, 1], [0, 63], [0, 64], [0, 65], [0, 200], [61, 67], [130, 199]]
        ) {
          const got = attend(bench, type, at, r, d, cache, from!, to!);
          for (let i = 0; i < r; i++) {
            const want = attention(q.subarray(i * d, (i + 1) * d), cache, from!, to!);
            want.forEach((each, j) => {
              const error = Math.abs(got[i * d + j]! - each);
              assert(
                error <= TOLERANCE[type]!,
                `d ${d}, ${from}-${to}: ${got[i * d + j]} for ${each}`,
              );
            });
          }
        }
      }
    }
  });
}

Deno.test("attendPage() has the same bits in both builds and on every host", () => {
  const digests = benches.map((bench) =>
    TYPES.map((type) => {
      bench.clear();
      const cache = fillCache(bench, type, 64, 64);
      const q = bench.put(randomRow(seeded(5), 7 * 64, 0.3));
      return digest(partial(bench, type, q, 7, 64, cache.pages[0]!, 0, 63));
    })
  );
  assertEquals(digests[0], digests[1]);
  assertEquals(digests[0], ["49a11bd430868f2c", "45a5f81fbdf11d1e", "c5ff63032cb46575"]);
});

Deno.test("attendPage() gives a row the same bits whatever rows are beside it", () => {
  const [bench] = benches;
  for (const type of TYPES) {
    for (const d of [40, 64]) {
      bench.clear();
      const cache = fillCache(bench, type, d, 64);
      const rows = 7;
      const q = bench.put(randomRow(seeded(9), rows * d));
      for (const [first, count] of [[0, 64], [3, 58], [62, 1]] as const) {
        const alone = Array.from(
          { length: rows },
          (_, i) => partial(bench, type, q + i * 4 * d, 1, d, cache.pages[0]!, first, count),
        );
        for (let r = 2; r <= rows; r++) {
          const together = partial(bench, type, q, r, d, cache.pages[0]!, first, count);
          assertEquals(together, Uint8Array.from(alone.slice(0, r).flatMap((each) => [...each])));
        }
      }
    }
  }
});

Deno.test("attendPage() takes nothing from other positions", () => {
  const [bench] = benches;
  const d = 64;
  for (const type of TYPES) {
    for (const [first, count] of [[0, 1], [0, 2], [0, 3], [5, 6], [60, 3], [1, 61]] as const) {
      const results = [0xff, 0x00, 0x7f, 0x80].map((byte) => {
        bench.clear();
        const chunk = bench.room(chunkBytes(type, d));
        bench.bytes(chunk, chunkBytes(type, d)).fill(byte);
        const random = seeded(count);
        for (let t = first; t < first + count; t++) {
          bench.kernels.storeKey(type, bench.put(randomRow(random, d)), chunk, t, d);
          bench.kernels.storeValue(type, bench.put(randomRow(random, d)), chunk, t, d);
        }
        const q = bench.put(randomRow(seeded(3), 3 * d, 0.3));
        return partial(bench, type, q, 3, d, chunk, first, count);
      });
      for (const each of results) assertEquals(each, results[0]);
      assert(new Float32Array(results[0]!.buffer).every(Number.isFinite));
    }
  }
});

Deno.test("attendPage() keeps the sum of powers whole where one score is far above the others", () => {
  const [bench] = benches;
  bench.clear();
  const d = 8;
  const chunk = bench.room(chunkBytes(KV_F32, d));
  for (let t = 0; t < 64; t++) {
    const key = new Float32Array(d);
    key[0] = t === 40 ? 1000 : -1000;
    bench.kernels.storeKey(KV_F32, bench.put(key), chunk, t, d);
    bench.kernels.storeValue(KV_F32, bench.put(new Float32Array(d).fill(t)), chunk, t, d);
  }
  const q = bench.put(new Float32Array(d).fill(1));
  const out = new Float32Array(partial(bench, KV_F32, q, 1, d, chunk, 0, 64).buffer);
  assertEquals([...out], [...new Array(d).fill(40), 1000, 1]);
});

Deno.test("attention with a NaN among the keys or values is NaN", () => {
  const [bench] = benches;
  const d = 8;
  for (const type of [KV_F32, KV_I8]) {
    for (const store of ["storeKey", "storeValue"] as const) {
      bench.clear();
      const cache = fillCache(bench, type, d, 70);
      bench.kernels[store](type, bench.put(new Float32Array(d).fill(NaN)), cache.pages[0]!, 9, d);
      const q = bench.put(randomRow(seeded(1), d));
      assert(attend(bench, type, q, 1, d, cache, 0, 70).every(Number.isNaN));
    }
  }
});

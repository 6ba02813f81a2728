import { assert, assertEquals } from "@std/assert";
import { openBenches, randomRow, seeded } from "./_others_kernels.ts";
import { KV_F16, KV_F32, KV_I8 } from "./abi.ts";

const benches = await openBenches();
const D = 40;

/** Index of value d of position t within a V part: panels of 8 values. */
function panelIndex(t: number, d: number): number {
  return (d >> 3) * 512 + t * 8 + (d & 7);
}

/** Where the i-th of f16 values lies: of eight, 0 to 3 are the high halves of words, 4 to 7 the low. */
function halfIndex(i: number): number {
  return (i & ~7) + (i & 3) * 2 + (i & 4 ? 0 : 1);
}

/** panelIndex() for i8, where two positions alternate. */
function pairIndex(t: number, d: number): number {
  return (d >> 3) * 512 + (t >> 1) * 16 + (d & 7) * 2 + (t & 1);
}

Deno.test("storeKey() and storeValue() write one position in f32 and f16, and nothing beside it", () => {
  for (const [type, bytes] of [[KV_F32, 4], [KV_F16, 2]] as const) {
    for (const bench of benches) {
      for (const slot of [0, 1, 17, 63]) {
        bench.clear();
        const random = seeded(slot);
        const [key, value] = [randomRow(random, D), randomRow(random, D)];
        const chunk = bench.room(2 * 64 * D * bytes);
        bench.kernels.storeKey(type, bench.put(key), chunk, slot, D);
        bench.kernels.storeValue(type, bench.put(value), chunk, slot, D);

        const want = new Uint8Array(2 * 64 * D * bytes).fill(0xff);
        const view = type === KV_F32
          ? new Float32Array(want.buffer)
          : new Float16Array(want.buffer);
        const place = type === KV_F32 ? (i: number) => i : halfIndex;
        key.forEach((each, d) => view[place(slot * D + d)] = each);
        value.forEach((each, d) => view[place(64 * D + panelIndex(slot, d))] = each);
        assertEquals(bench.bytes(chunk, want.length).slice(), want);
      }
    }
  }
});

Deno.test("storeKey() and storeValue() round to i8 by the position's largest value", () => {
  const part = 64 * D + 256;
  for (const bench of benches) {
    for (const slot of [0, 2, 63]) {
      bench.clear();
      const random = seeded(slot);
      const [key, value] = [randomRow(random, D, 20), randomRow(random, D, 0.01)];
      const chunk = bench.room(2 * part);
      bench.kernels.storeKey(KV_I8, bench.put(key), chunk, slot, D);
      bench.kernels.storeValue(KV_I8, bench.put(value), chunk, slot, D);
      const codes = new Int8Array(bench.bytes(chunk, 2 * part));
      for (
        const [row, from, at] of [
          [key, 0, (d: number) => slot * D + d],
          [value, part, (d: number) => pairIndex(slot, d)],
        ] as const
      ) {
        const largest = Math.max(...row.map(Math.abs));
        const scale = bench.floats(chunk + from + 64 * D + 4 * slot, 1)[0]!;
        assertEquals(scale, Math.fround(largest / 127));
        row.forEach((each, d) => {
          assert(Math.abs(codes[from + at(d)]! * scale - each) <= scale * 0.50001);
        });
      }
      const written = codes.filter((each) => each !== -1).length;
      assert(written <= 2 * (D + 4), `${written} bytes written`);
    }
  }
});

Deno.test("storeKey() in i8 keeps zeros, and makes NaN and infinity visible", () => {
  for (const bench of benches) {
    for (const [bad, want] of [[0, 0], [NaN, NaN], [Infinity, Infinity]] as const) {
      bench.clear();
      const chunk = bench.room(2 * (64 * D + 256));
      bench.kernels.storeKey(KV_I8, bench.put([bad, ...new Array(D - 1).fill(0)]), chunk, 0, D);
      assertEquals(bench.floats(chunk + 64 * D, 1)[0], want);
      assertEquals([...bench.bytes(chunk, D)], new Array(D).fill(0));
    }
  }
});

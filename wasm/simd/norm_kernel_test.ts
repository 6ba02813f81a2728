import { assert, assertEquals } from "@std/assert";
import { digest, openBenches, randomRow, seeded } from "./_others_kernels.ts";

const benches = await openBenches();

/** RMSNorm in f64. */
function norm(x: Float32Array, gamma: Float32Array, eps: number): number[] {
  const mean = x.reduce((sum, each) => sum + each * each, 0) / x.length;
  return Array.from(x, (each, i) => each / Math.sqrt(mean + eps) * gamma[i]!);
}

function assertClose(got: Float32Array, want: number[], tolerance: number): void {
  assertEquals(got.length, want.length);
  for (let i = 0; i < want.length; i++) {
    const error = Math.abs(got[i]! - want[i]!);
    assert(error <= tolerance * Math.abs(want[i]!) + 1e-30, `[${i}]: ${got[i]} for ${want[i]}`);
  }
}

Deno.test("rmsNorm() is within 1e-6 of f64 arithmetic, and its q8 row is that of its f32 row", () => {
  const digests = benches.map((bench) => {
    const all: string[] = [];
    for (const k of [32, 64, 576, 960, 4096]) {
      bench.clear();
      const random = seeded(k);
      const x = randomRow(random, k, 3);
      const gamma = randomRow(random, k);
      const at = bench.put(x);
      const gammaAt = bench.put(gamma);
      const out = bench.room(4 * k);
      const codes = bench.room(k * 1.5);
      bench.kernels.rmsNorm(at, gammaAt, k, 1e-5, out, codes);
      const got = bench.floats(out, k);
      assertClose(got, norm(x, gamma, 1e-5), 1e-6);
      for (let block = 0; block < k; block += 32) {
        const values = got.slice(block, block + 32);
        const largest = Math.max(...values.map(Math.abs));
        const inverse = Math.fround(127 / largest);
        const row = new Int8Array(bench.bytes(codes + block, 32));
        values.forEach((value, i) => {
          const exact = Math.fround(value * inverse);
          assert(Math.abs(row[i]! - exact) <= 0.5, `code ${row[i]} for ${exact}`);
        });
        const scale = bench.floats(codes + k + block / 2, 1)[0]!;
        assertEquals(scale, Math.fround(largest / 127) * 2 ** 64);
      }
      all.push(digest(bench.bytes(out, 4 * k)), digest(bench.bytes(codes, 1.5 * k)));

      const [alone, aloneQ] = [bench.room(4 * k), bench.room(k * 1.5)];
      bench.kernels.rmsNorm(at, gammaAt, k, 1e-5, alone, 0);
      bench.kernels.rmsNorm(at, gammaAt, k, 1e-5, 0, aloneQ);
      assertEquals(bench.bytes(alone, 4 * k), bench.bytes(out, 4 * k));
      assertEquals(bench.bytes(aloneQ, 1.5 * k), bench.bytes(codes, 1.5 * k));
      bench.kernels.rmsNorm(at, gammaAt, k, 1e-5, at, 0);
      assertEquals(bench.bytes(at, 4 * k), bench.bytes(out, 4 * k));
    }
    return digest(new TextEncoder().encode(all.join()));
  });
  assertEquals(digests, ["8ca0e3921557e97a", "8ca0e3921557e97a"]);
});

Deno.test("rmsNorm() of zeros is zeros", () => {
  for (const bench of benches) {
    bench.clear();
    const [x, gamma] = [bench.put(new Float32Array(32)), bench.put(new Float32Array(32).fill(1))];
    const [out, codes] = [bench.room(128), bench.room(48)];
    bench.kernels.rmsNorm(x, gamma, 32, 1e-6, out, codes);
    assertEquals(bench.floats(out, 32), new Float32Array(32));
    assertEquals([...bench.bytes(codes, 48)], new Array(48).fill(0));
  }
});

Deno.test("headNorm() is within 1e-6 of f64 arithmetic and writes one head alone", () => {
  for (const d of [8, 40, 64, 80, 128]) {
    const results = benches.map((bench) => {
      bench.clear();
      const random = seeded(d);
      const x = randomRow(random, 2 * d);
      const gamma = randomRow(random, d);
      const at = bench.put(x);
      bench.kernels.headNorm(at, bench.put(gamma), d, 1e-6);
      assertClose(bench.floats(at, d), norm(x.subarray(0, d), gamma, 1e-6), 1e-6);
      assertEquals(bench.floats(at + 4 * d, d), x.subarray(d));
      return digest(bench.bytes(at, 4 * d));
    });
    assertEquals(results[0], results[1]);
  }
});

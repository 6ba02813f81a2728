import { assert, assertEquals } from "@std/assert";
import { digest, openBenches } from "./_others_kernels.ts";

const benches = await openBenches();

Deno.test("exp() is within 3e-7 + 8e-8 · |x| of e^x, and 0 below -87", () => {
  for (const bench of benches) {
    bench.clear();
    const n = 200_000;
    const x = Float32Array.from({ length: n }, (_, i) => -87 + 175 * i / (n - 1));
    const at = bench.put(x);
    bench.kernels.expRow(at, n);
    const got = bench.floats(at, n);
    for (let i = 0; i < n; i++) {
      const want = Math.exp(x[i]!);
      const limit = 3e-7 + 8e-8 * Math.abs(x[i]!);
      assert(Math.abs(got[i]! / want - 1) < limit, `${x[i]}: ${got[i]} for ${want}`);
    }
    const special = bench.put([-Infinity, -87.5, -1e30, 0, -0, NaN, -200, 88]);
    bench.kernels.expRow(special, 8);
    assertEquals([...bench.floats(special, 7)], [0, 0, 0, 1, 1, NaN, 0]);
    assertEquals(digest(bench.bytes(at, 4 * n)), "94fc0c3b81289ae9");
  }
});

Deno.test("f32ToF16() rounds every f16 and the midpoints between them as IEEE 754 says", () => {
  const inputs: number[] = [];
  const half = new Float16Array(1);
  const bits = new Uint16Array(half.buffer);
  for (let h = 0; h < 0x7c00; h++) {
    bits[0] = h;
    const value = half[0]!;
    bits[0] = h + 1;
    const next = h === 0x7bff ? 65536 : half[0]!;
    const middle = Math.fround((value + next) / 2);
    inputs.push(value, middle, middle * (1 + 2 ** -23), middle * (1 - 2 ** -23));
  }
  inputs.push(...inputs.map((each) => -each), Infinity, -Infinity, 1e30, 3e-40);
  for (const bench of benches) {
    bench.clear();
    const at = bench.put(inputs);
    const out = bench.room(4 * inputs.length);
    bench.kernels.halfRow(at, inputs.length, out);
    const got = bench.ints(out, inputs.length);
    const values = bench.floats(at, inputs.length);
    for (let i = 0; i < inputs.length; i++) {
      half[0] = values[i]!;
      assertEquals(got[i], bits[0], `${values[i]}`);
    }
    const nan = bench.put([NaN, 0, 0, 0]);
    bench.kernels.halfRow(nan, 4, out);
    assertEquals(bench.ints(out, 1)[0]! & 0x7fff, 0x7e00);
  }
});

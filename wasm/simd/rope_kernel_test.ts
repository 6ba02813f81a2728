import { assertEquals } from "@std/assert";
import { openBenches, randomRow, seeded } from "./_others_kernels.ts";

const benches = await openBenches();
const f = Math.fround;

/** The rotation in f32, operation by operation. */
function rotated(
  x: Float32Array,
  cos: Float32Array,
  sin: Float32Array,
  half: number,
  scale: number,
): Float32Array {
  return x.map((each, i) => {
    if (i >= 2 * half) return each * scale;
    const j = i % half;
    const turned = i < half
      ? f(f(each * cos[j]!) - f(x[i + half]! * sin[j]!))
      : f(f(each * cos[j]!) + f(x[j]! * sin[j]!));
    return turned * scale;
  });
}

Deno.test("rotate() has the bits of the rotation in f32, in place too", () => {
  for (const [d, half] of [[64, 32], [128, 64], [80, 16], [40, 20], [16, 3], [8, 4]] as const) {
    for (const bench of benches) {
      bench.clear();
      const random = seeded(d + half);
      const x = randomRow(random, d);
      const angles = randomRow(random, half, 3);
      const [cos, sin] = [angles.map(Math.cos), angles.map(Math.sin)];
      const [at, cosAt, sinAt] = [bench.put(x), bench.put(cos), bench.put(sin)];
      const out = bench.room(4 * d);
      for (const scale of [1, f(1 / Math.sqrt(d))]) {
        const want = rotated(x, cos, sin, half, scale);
        bench.kernels.rotate(at, out, cosAt, sinAt, d, half, scale);
        assertEquals(bench.floats(out, d).slice(), want);
      }
      bench.kernels.rotate(at, at, cosAt, sinAt, d, half, f(1 / Math.sqrt(d)));
      assertEquals(bench.bytes(at, 4 * d), bench.bytes(out, 4 * d));
    }
  }
});

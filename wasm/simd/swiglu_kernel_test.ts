import { assert, assertEquals } from "@std/assert";
import { digest, openBenches, randomRow, seeded } from "./_others_kernels.ts";

const benches = await openBenches();

Deno.test("swigluFloat() is within 5e-6 of f64 arithmetic, whatever the gate", () => {
  const digests = benches.map((bench) => {
    const all: string[] = [];
    for (const scale of [0.1, 1, 10, 100, 1e4]) {
      bench.clear();
      const random = seeded(scale);
      const [gate, up] = [randomRow(random, 32, scale), randomRow(random, 32)];
      gate.set([0, -0, 90, -90, 200, -200]);
      const [gateAt, upAt, out] = [bench.put(gate), bench.put(up), bench.room(128)];
      bench.kernels.swigluFloat(gateAt, upAt, out);
      const got = bench.floats(out, 32);
      got.forEach((value, i) => {
        const want = gate[i]! / (1 + Math.exp(-gate[i]!)) * up[i]!;
        // Below e^-88 silu's tail is that of e^-88: nothing beside what else is in the row.
        assert(Math.abs(value - want) <= 5e-6 * Math.abs(want) + 1e-33, `${value} for ${want}`);
      });
      all.push(digest(bench.bytes(out, 128)));
      bench.kernels.swigluFloat(gateAt, upAt, gateAt);
      assertEquals(bench.bytes(gateAt, 128), bench.bytes(out, 128));
    }
    return digest(new TextEncoder().encode(all.join()));
  });
  assertEquals(digests, ["b7226aa514c34263", "b7226aa514c34263"]);
});

Deno.test("swigluBlock() quantises what swigluFloat() gives", () => {
  for (const bench of benches) {
    bench.clear();
    const random = seeded(7);
    const [gate, up] = [bench.put(randomRow(random, 32, 4)), bench.put(randomRow(random, 32))];
    const [out, codes, scales] = [bench.room(128), bench.room(32), bench.room(16)];
    bench.kernels.swigluFloat(gate, up, out);
    bench.kernels.swigluBlock(gate, up, codes, scales);
    const values = bench.floats(out, 32);
    const largest = Math.max(...values.map(Math.abs));
    const row = new Int8Array(bench.bytes(codes, 32));
    values.forEach((value, i) => {
      assert(Math.abs(row[i]! - Math.fround(value * Math.fround(127 / largest))) <= 0.5);
    });
    const sum = row.reduce((total, each) => total + each, 0);
    const scale = Math.fround(largest / 127) * 2 ** 64;
    assertEquals([...bench.floats(scales, 2)], [scale, Math.fround(scale * sum)]);
    const halves = [row.subarray(0, 16), row.subarray(16)].map((each) =>
      each.reduce((total, code) => total + code, 0)
    );
    assertEquals([...bench.ints(scales + 8, 2)], halves);
  }
});

Deno.test("swigluFloat() keeps NaN", () => {
  for (const bench of benches) {
    bench.clear();
    const gate = new Float32Array(32).fill(1);
    const up = new Float32Array(32).fill(1);
    gate[3] = NaN;
    up[5] = NaN;
    const out = bench.room(128);
    bench.kernels.swigluFloat(bench.put(gate), bench.put(up), out);
    assertEquals([...bench.floats(out, 32)].flatMap((each, i) => each === each ? [] : [i]), [3, 5]);
  }
});

import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import {
  isEightBit,
  KINDS,
  type LinearBench,
  openLinearBenches,
  randomPacked,
} from "./_linear_kernels.ts";
import { blockStarts, codeBytes, LinearError } from "./_linear_error.ts";
import { randomUnit } from "./_random_matrix.ts";
import { unpackMatrix } from "./_unpack.ts";
import * as abi from "./abi.ts";

const GROUPS = 3;
const N = 16 * GROUPS;
const MAX_ROWS = 9;
const X = 65536;
const ROWS = 1 << 20;
const BIAS = 2 << 20;
const Y = 3 << 20;
const W = 4 << 20;
const Y_STRIDE = 4 * N + 64;

const benches = await openLinearBenches();

/** Columns that tests use: two super-blocks, three blocks, or for weights of floating point any number. */
function columnsOf(kind: number): number {
  if (kind < abi.Q4_H) return 37;
  return kind === abi.Q4_K || kind === abi.Q5_K || kind === abi.Q6_K ? 512 : 96;
}

/** Bytes of an activation row as products take it. */
function rowBytes(kind: number, k: number): number {
  return kind < abi.Q4_H ? 4 * k : k + k / 2;
}

interface Case {
  kind: number;
  k: number;
  packed: Uint8Array;
  x: Float32Array;
  bias: Float32Array;
  old: Float32Array;
}

function randomCase(kind: number, seed: number): Case {
  const random = randomUnit(seed);
  const k = columnsOf(kind);
  const floats = (length: number, size: number) =>
    Float32Array.from({ length }, () => (random() + random() + random() - 1.5) * size);
  return {
    kind,
    k,
    packed: randomPacked(kind, GROUPS, k, random),
    x: floats(MAX_ROWS * k, 3),
    bias: floats(N, 1),
    old: floats(MAX_ROWS * N, 1),
  };
}

interface Call {
  first?: number;
  rows: number;
  groups?: [number, number];
  add?: boolean;
  bias?: boolean;
}

/** Puts a case's weights, its quantised rows and bias into a bench's memory. */
function load({ kernels, memory, reading }: LinearBench, { kind, k, packed, x, bias }: Case): void {
  new Uint8Array(memory).set(packed, W);
  if (isEightBit(kind) && reading === abi.READS_I8) kernels.flip8(kind, W, GROUPS, k);
  new Float32Array(memory, X, x.length).set(x);
  new Float32Array(memory, BIAS, N).set(bias);
  const bytes = rowBytes(kind, k);
  for (let r = 0; r < MAX_ROWS; r++) {
    if (kind < abi.Q4_H) {
      new Uint8Array(memory).copyWithin(ROWS + r * bytes, X + 4 * k * r, X + 4 * k * (r + 1));
    } else kernels.quantiseRow(X + 4 * k * r, ROWS + r * bytes, k);
  }
}

/** Outputs of some rows of a loaded case as bits, rows of N; what is not written stays as it was. */
function outputs(
  { kernels, memory, reading }: LinearBench,
  { kind, k, old }: Case,
  { first = 0, rows, groups: [g0, g1] = [0, GROUPS], add = false, bias = false }: Call,
): Uint32Array {
  const y = new Float32Array(memory, Y, (MAX_ROWS + 3) * Y_STRIDE / 4);
  y.fill(7);
  for (let r = 0; r < rows; r++) {
    y.set(old.subarray((first + r) * N, (first + r + 1) * N), r * Y_STRIDE / 4);
  }
  const bytes = rowBytes(kind, k);
  kernels.linear(
    kind,
    reading,
    W,
    ROWS + first * bytes,
    bytes,
    Y,
    Y_STRIDE,
    rows,
    k,
    g0,
    g1,
    add ? 1 : 0,
    bias ? BIAS : 0,
  );
  for (let r = 0; r < MAX_ROWS + 3; r++) {
    assert(y.subarray((r * Y_STRIDE + 4 * N) / 4, (r + 1) * Y_STRIDE / 4).every((v) => v === 7));
    if (r >= Math.max(rows, rows + 1 & ~3)) {
      assert(y.subarray(r * Y_STRIDE / 4, (r * Y_STRIDE + 4 * N) / 4).every((v) => v === 7));
    }
  }
  const out = new Uint32Array(rows * N);
  const bits = new Uint32Array(memory, Y, y.length);
  for (let r = 0; r < rows; r++) {
    out.set(bits.subarray(r * Y_STRIDE / 4, r * Y_STRIDE / 4 + N), r * N);
  }
  return out;
}

/** Activations as products see them: as they are, or as their codes times their scale. */
function seenRows({ memory }: LinearBench, { kind, k, x }: Case): Float64Array {
  if (kind < abi.Q4_H) return Float64Array.from(x);
  const seen = new Float64Array(MAX_ROWS * k);
  for (let r = 0; r < MAX_ROWS; r++) {
    const at = ROWS + r * rowBytes(kind, k);
    const codes = new Int8Array(memory, at, k);
    const records = new Float32Array(memory, at + k, k / 8);
    for (let i = 0; i < k; i++) seen[r * k + i] = codes[i]! * records[4 * (i >> 5)]! / 2 ** 64;
  }
  return seen;
}

/** Rows of which all but the first have one block of 32 that is not zero: where a bound is narrow. */
function narrowCase(kind: number, seed: number): Case {
  const each = randomCase(kind, seed);
  const blocks = Math.ceil(each.k / 32);
  for (let r = 1; r < MAX_ROWS; r++) {
    const row = each.x.subarray(r * each.k, (r + 1) * each.k);
    for (let i = 0; i < each.k; i++) if (i >> 5 !== (r - 1) % blocks) row[i] = 0;
  }
  return each;
}

/** The largest error of an output over what it may be, from activations as they were and as products see them. */
function worstErrors(bench: LinearBench, each: Case, bound: LinearError): [number, number] {
  const { k, x, old, bias } = each;
  const seen = seenRows(bench, each);
  const call = { rows: MAX_ROWS, add: true, bias: true };
  const got = new Float32Array(outputs(bench, each, call).buffer);
  const worst: [number, number] = [0, 0];
  for (let at = 0; at < MAX_ROWS * N; at++) {
    const [r, n] = [Math.floor(at / N), at % N];
    const [raw, codes] = [x, seen].map((rows) => rows.subarray(r * k, (r + 1) * k));
    const beside = old[at]! + bias[n]!;
    const size = Math.abs(old[at]!) + Math.abs(bias[n]!);
    const error = (row: ArrayLike<number>) => Math.abs(got[at]! - beside - bound.exact(row, n));
    worst[0] = Math.max(worst[0], error(raw!) / bound.whole(raw!, n, size));
    worst[1] = Math.max(worst[1], error(codes!) / bound.rounding(codes!, n, size));
  }
  return worst;
}

/** The same weights with those of one block, or one column of floating point, a few steps away. */
function disturbed(kind: number, packed: Uint8Array): Uint8Array {
  const out = packed.slice();
  if (kind === abi.F32) { for (let at = 1; at < 64; at += 4) out[at]! ^= 0x40; // 2^-10 of each
   } else if (kind < abi.Q4_H) { for (let at = 0; at < 32; at += 2) out[at]! ^= 4; }
  else {
    const [first] = blockStarts(kind, packed);
    const low = isEightBit(kind) ? 512 : 256;
    for (let at = first!; at < first! + low; at++) out[at]! ^= isEightBit(kind) ? 4 : 0x44;
  }
  return out;
}

for (const [name, kind] of KINDS) {
  Deno.test(`linear() of ${name} errs no more than its format and f32 do`, () => {
    const each = narrowCase(kind, 100 + kind);
    const bound = new LinearError(kind, each.packed, N, each.k);
    const wrong = { ...each, packed: disturbed(kind, each.packed) };
    for (const bench of benches) {
      load(bench, each);
      const [raw, seen] = worstErrors(bench, each, bound);
      assert(raw <= 1 && seen <= 1, `${bench.name}: ${raw} and ${seen} of the bound`);
      load(bench, wrong);
      const [caught] = worstErrors(bench, wrong, bound);
      assert(caught > 1, `${bench.name}: four steps more make ${caught} of the bound`);
    }
  });

  Deno.test(`linear() of ${name} gives a row the same bits in every build and company`, () => {
    const each = randomCase(kind, 200 + kind);
    for (const [add, bias] of [[false, false], [true, false], [true, true]] as const) {
      const alone = new Uint32Array(MAX_ROWS * N);
      for (const [i, bench] of benches.entries()) {
        load(bench, each);
        for (let r = 0; r < MAX_ROWS; r++) {
          const row = outputs(bench, each, { first: r, rows: 1, add, bias });
          if (i === 0) alone.set(row, r * N);
          else assertEquals(row, alone.slice(r * N, (r + 1) * N), bench.name);
        }
        for (let rows = 2; rows <= MAX_ROWS; rows++) {
          const all = outputs(bench, each, { rows, add, bias });
          assertEquals(all, alone.slice(0, rows * N), `${bench.name}, ${rows} rows`);
        }
      }
    }
  });

  Deno.test(`linear() of ${name} writes the groups it is given`, () => {
    const each = randomCase(kind, 300 + kind);
    for (const bench of benches.slice(0, 2)) {
      load(bench, each);
      for (const rows of [1, 4, 5]) {
        const whole = outputs(bench, each, { rows, bias: true });
        const before = new Uint32Array(each.old.buffer);
        for (const groups of [[0, 1], [1, 3], [2, 2]] as [number, number][]) {
          const part = outputs(bench, each, { rows, groups, bias: true });
          const within = (i: number) => i % N >= 16 * groups[0] && i % N < 16 * groups[1];
          assertEquals(part, whole.map((bits, i) => within(i) ? bits : before[i]!));
        }
      }
    }
  });

  Deno.test(`embedRow() of ${name} gives each weight rounded once`, () => {
    const each = randomCase(kind, 400 + kind);
    const weights = unpackMatrix(kind, each.packed, N, each.k);
    for (const { kernels, memory, reading, name: build } of benches) {
      new Uint8Array(memory).set(each.packed, W);
      if (isEightBit(kind) && reading === abi.READS_I8) kernels.flip8(kind, W, GROUPS, each.k);
      for (let row = 0; row < N; row++) {
        kernels.embedRow(kind, reading, W, each.k, row, Y);
        const expected = weights.subarray(row * each.k, (row + 1) * each.k);
        assertEquals(new Float32Array(memory, Y, each.k).slice(), expected.slice(), build);
      }
    }
  });
}

Deno.test("linear() gives the bits that every host gives", () => {
  const hash = createHash("sha256");
  for (const [, kind] of KINDS) {
    const each = randomCase(kind, 800 + kind);
    load(benches[0]!, each);
    hash.update(outputs(benches[0]!, each, { rows: MAX_ROWS, add: true, bias: true }));
  }
  assertEquals(hash.digest("hex").slice(0, 16), "c74a24e349b1d152");
});

Deno.test("linear() is exact at the ends of the codes' ranges", () => {
  for (const [name, kind] of KINDS.filter(([, kind]) => kind >= abi.Q4_H)) {
    for (const fill of [0, 255]) {
      const each = randomCase(kind, 500 + kind);
      // Only the first block's codes: all else stays ordinary.
      each.packed.fill(fill, 0, codeBytes(kind));
      for (const [r, sign] of [1, -1, 1].entries()) each.x.fill(sign, r * each.k, (r + 1) * each.k);
      let first: Uint32Array | undefined;
      for (const bench of benches) {
        load(bench, each);
        const got = outputs(bench, each, { rows: 3 });
        first ??= got;
        assertEquals(got, first, `${name}, ${bench.name}`);
        assertEquals(
          outputs(bench, each, { rows: 1 }),
          first.slice(0, N),
          `${name}, ${bench.name}`,
        );
      }
    }
  }
});

Deno.test("linear() takes activations as large as 1e13, and passes NaN on", () => {
  for (const [name, kind] of KINDS) {
    const each = randomCase(kind, 600 + kind);
    for (let i = 0; i < each.k; i++) each.x[i]! *= 1e13;
    each.x[each.k + 5] = NaN;
    for (const bench of benches) {
      load(bench, each);
      const got = new Float32Array(outputs(bench, each, { rows: 3 }).buffer);
      assert(got.subarray(0, N).every(Number.isFinite), `${name}, ${bench.name}`);
      assert(got.subarray(N, 2 * N).every(Number.isNaN), `${name}, ${bench.name}`);
      assert(got.subarray(2 * N, 3 * N).every(Number.isFinite), `${name}, ${bench.name}`);
    }
  }
});

Deno.test("quantiseRow() gives codes, scales and sums of each block", () => {
  const random = randomUnit(7);
  const size = [1, 0, 1e-30, 1e-40, 1e30, 3.4e38];
  const k = 32 * size.length;
  const x = Float32Array.from({ length: k }, (_, i) => (random() * 2 - 1) * size[i >> 5]!);
  for (const { kernels, memory, name } of benches) {
    new Float32Array(memory, X, k).set(x);
    kernels.quantiseRow(X, ROWS, k);
    const codes = new Int8Array(memory, ROWS, k);
    for (let b = 0; b < size.length; b++) {
      const block = x.subarray(32 * b, 32 * b + 32);
      const largest = block.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
      const inverse = largest > 7.6e-37 ? Math.fround(127 / largest) : 0;
      const expected = Array.from(block, (v) => roundEven(Math.fround(v * inverse)));
      assertEquals([...codes.subarray(32 * b, 32 * b + 32)], expected, name);
      const sums = [0, 16].map((from) =>
        expected.slice(from, from + 16).reduce((sum, code) => sum + code, 0)
      );
      const record = ROWS + k + 16 * b;
      assertEquals([...new Int32Array(memory, record + 8, 2)], sums);
      const scale = Math.fround(Math.fround(largest / 127) * 2 ** 64);
      assertEquals([...new Float32Array(memory, record, 2)], [
        scale,
        Math.fround(scale * (sums[0]! + sums[1]!)),
      ]);
    }
  }
});

/** To the nearest integer, halves to the even one, without a negative zero. */
function roundEven(v: number): number {
  const rounded = Math.round(v);
  return (Math.abs(v % 1) === 0.5 ? 2 * Math.round(v / 2) : rounded) + 0;
}

Deno.test("flip8() flips codes and nothing else, and twice nothing", () => {
  const { kernels, memory } = benches[0]!;
  for (const kind of [abi.Q8_H, abi.Q8_FZ, abi.Q8_F2]) {
    const each = randomCase(kind, 700 + kind);
    const bytes = new Uint8Array(memory, W, each.packed.length + 64);
    bytes.set(each.packed);
    bytes.fill(3, each.packed.length);
    kernels.flip8(kind, W, GROUPS, each.k);
    const step = each.packed.length / (GROUPS * each.k / 32);
    assert(each.packed.every((byte, i) => bytes[i] === (i % step < 512 ? byte ^ 128 : byte)));
    kernels.flip8(kind, W, GROUPS, each.k);
    assert(each.packed.every((byte, i) => bytes[i] === byte));
    assert(bytes.subarray(each.packed.length).every((byte) => byte === 3));
  }
});

Deno.test("probe() tells the readings apart", () => {
  const readings = Object.fromEntries(benches.map(({ name, kernels }) => [name, kernels.probe()]));
  assertEquals(readings["plain"], abi.READS_I8);
  const soft = new Map([
    ["software u8", abi.READS_U8],
    ["software i8", abi.READS_I8],
    ["software saturating", abi.SATURATES],
  ]);
  for (const { name, reading } of benches) {
    if (soft.has(name)) assertEquals(reading, soft.get(name));
  }
});

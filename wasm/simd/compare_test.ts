import { assert, assertEquals } from "@std/assert";
import { Q4_1, RandomModel } from "./_random_model.ts";
import { makeProbe, relativeError, toleranceOf } from "./compare.ts";
import type { DecoderBlock, DecoderLayer, MatrixForm } from "./decoder.ts";

const SIZES = { dModel: 64, vocab: 300 };
const F16: MatrixForm = { type: "float", dtype: "f16", transposed: true };
const F32: MatrixForm = { type: "float", dtype: "f32", transposed: false };
const INT8: MatrixForm = { type: "int8", signed: true, transposed: true, perRow: false };

function layer(form: MatrixForm, down = form): DecoderLayer {
  const model = new RandomModel("layer.0");
  const linear = (n: number, k: number) => model.linear(form, n, k);
  return {
    ...model.layer((it) => [it.linear(form, 128, 64)]),
    ...{ output: linear(64, 64), gate: linear(96, 64), up: linear(96, 64) },
    down: model.linear(down, 64, 96),
  };
}

function head(form: MatrixForm): DecoderBlock {
  return { kind: "head", norm: null, weight: new RandomModel("head").linear(form, 300, 64) };
}

function embed(form: MatrixForm): DecoderBlock {
  return { kind: "embed", table: new RandomModel("embed").matrix(form, 300, 64) };
}

Deno.test("toleranceOf() is that of a block's coarsest weights", () => {
  const gguf = (type: "F16" | "Q8_0"): MatrixForm => ({ type: "gguf", gguf: type });
  const nbits: MatrixForm = { type: "nbits", bits: 4, block: 32, scales: "f16", zeroPoints: null };
  const cases: [DecoderBlock, number][] = [
    [layer(F32), 1e-4],
    [layer(gguf("F16")), 1e-4],
    [layer(F16), 5e-3],
    [layer(F32, F16), 5e-3],
    [layer(Q4_1), 3e-2],
    [layer(F16, Q4_1), 3e-2],
    [layer(Q4_1, INT8), 5e-2],
    [head(F32), 1e-4],
    [head(gguf("Q8_0")), 3e-2],
    [head(INT8), 5e-2],
    [embed(F32), 1e-4],
    [embed(gguf("Q8_0")), 1e-4],
    [embed(INT8), 1e-4],
    [embed(nbits), 5e-3],
  ];
  assertEquals(cases.map(([block]) => toleranceOf(block)), cases.map(([, expected]) => expected));
});

Deno.test("makeProbe() asks the same of a kind of block each time, within its shapes", () => {
  for (const block of [layer(F32), head(F32), embed(F32)]) {
    const probe = makeProbe(block, SIZES);
    assertEquals(probe, makeProbe(block, SIZES));
    assert(probe.batches.length > 0);
    for (const { segments, hidden, ids } of probe.batches) {
      const rows = segments.reduce((sum, each) => sum + each.rows, 0);
      assertEquals(ids?.length ?? hidden!.length / SIZES.dModel, rows);
      assert(ids?.every((id) => id >= 0 && id < SIZES.vocab) ?? true);
    }
  }
});

Deno.test("makeProbe() asks a layer for no more positions than its rotation has", () => {
  const of = (positions: number) => {
    const it = layer(F32);
    return makeProbe({ ...it, rope: { ...it.rope, positions } as DecoderLayer["rope"] }, SIZES);
  };
  for (
    const [positions, rows] of [[1, [1]], [2, [1, 1]], [8, [4, 4]], [11, [6, 5]], [99, [7, 5]]]
  ) {
    const { batches } = of(positions as number);
    assertEquals(batches.map(({ segments }) => segments[0]!.rows), rows);
  }
});

Deno.test("relativeError() counts every row of a table", () => {
  const probe = makeProbe(embed(F32), SIZES);
  const rows = probe.batches.map((_, i) => new Float32Array(SIZES.dModel).fill(i));
  assertEquals(relativeError(probe, rows, rows), 0);
  const other = rows.with(5, rows[5]!.map((value) => 1.5 * value));
  assertEquals(relativeError(probe, other, rows), 0.5);
  assertEquals(relativeError(probe, rows.with(0, rows[1]!), rows), Infinity);
});

Deno.test("relativeError() measures what a layer adds, or what it makes where it ends with a norm", () => {
  const probe = makeProbe(layer(F32), SIZES);
  const plus = (by: number) =>
    probe.batches.map(({ hidden }) => hidden!.map((value) => value + by));
  assertEquals(relativeError(probe, plus(1), plus(1)), 0);
  assert(Math.abs(relativeError(probe, plus(1.5), plus(1)) - 0.5) < 1e-6);
  assertEquals(relativeError(probe, plus(NaN), plus(1)), NaN);
  const oneRow = plus(1);
  oneRow[0]!.fill(0, 0, SIZES.dModel);
  assertEquals(relativeError(probe, oneRow, plus(1)), 0);
  const onePart = plus(1);
  onePart[1]!.fill(0);
  assert(relativeError(probe, onePart, plus(1)) > 0.5);
  const outputNorm = layer(F32).inputNorm;
  const whole = makeProbe({ ...layer(F32), outputNorm }, SIZES);
  const rows = (value: number) => whole.batches.map(({ hidden }) => hidden!.map(() => value));
  assert(Math.abs(relativeError(whole, rows(3), rows(2)) - 0.5) < 1e-6);
});

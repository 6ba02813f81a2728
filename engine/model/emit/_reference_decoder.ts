/** For tests: a decoder in plain loops and doubles, straight from the models' definitions. */
import type { ModelConfig } from "../types.ts";
import { inverseFrequencies } from "./rope.ts";

/** Weights by the names of the emitted graph; matrices row by row, [n, k]. */
export type ReferenceWeights = ReadonlyMap<string, Float32Array>;

type Rows = Float64Array[];

/** Logits [ids, vocab] of a prompt. */
export function referenceLogits(
  config: ModelConfig,
  weights: ReferenceWeights,
  ids: number[],
): Rows {
  const { hidden, layers } = config;
  const weight = (name: string): Float32Array => weights.get(name) ?? new Float32Array(0);
  const embed = weight("embed");
  let x: Rows = ids.map((id) => Float64Array.from(embed.subarray(id * hidden, (id + 1) * hidden)));
  for (let i = 0; i < layers; i++) {
    const of = (name: string) => weight(`${i}.${name}`);
    const linear = (rows: Rows, name: string) => project(rows, of(name), of(`${name}.bias`));
    const normed = x.map((row) => rmsNorm(row, of("input_norm"), config));
    const attended = attention(config, of, {
      query: linear(normed, "q"),
      key: linear(normed, "k"),
      value: linear(normed, "v"),
    });
    const residual = sum(x, linear(attended, "o"));
    const input = residual.map((row) => rmsNorm(row, of("post_norm"), config));
    const gate = linear(input, "gate");
    const up = linear(input, "up");
    const gated = gate.map((row, t) => row.map((g, j) => g / (1 + Math.exp(-g)) * up[t]![j]!));
    x = sum(residual, linear(gated, "down"));
  }
  return project(
    x.map((row) => rmsNorm(row, weight("norm"), config)),
    weight("head"),
    new Float32Array(0),
  );
}

function attention(
  config: ModelConfig,
  of: (name: string) => Float32Array,
  { query, key, value }: { query: Rows; key: Rows; value: Rows },
): Rows {
  const { heads, kvHeads, headDim } = config;
  const head = (row: Float64Array, h: number) => row.subarray(h * headDim, (h + 1) * headDim);
  const prepared = (row: Float64Array, h: number, norm: Float32Array, position: number) =>
    rotate(norm.length > 0 ? rmsNorm(head(row, h), norm, config) : head(row, h), position, config);
  return query.map((row, t) => {
    const out = new Float64Array(heads * headDim);
    for (let h = 0; h < heads; h++) {
      const shared = Math.floor(h / (heads / kvHeads));
      const q = prepared(row, h, of("q_norm"), t);
      const scores = key.slice(0, t + 1).map((k, s) =>
        dot(q, prepared(k, shared, of("k_norm"), s)) / Math.sqrt(headDim)
      );
      const most = Math.max(...scores);
      const exps = scores.map((score) => Math.exp(score - most));
      const total = exps.reduce((a, b) => a + b);
      exps.forEach((e, s) => {
        head(value[s]!, shared).forEach((v, j) => out[h * headDim + j]! += e / total * v);
      });
    }
    return out;
  });
}

/** Rotates halves: x1 · cos - x2 · sin, x2 · cos + x1 · sin. */
function rotate(head: Float64Array, position: number, config: ModelConfig): Float64Array {
  const half = config.headDim / 2;
  const out = new Float64Array(head.length);
  inverseFrequencies(config).forEach((frequency, i) => {
    const [cos, sin] = [Math.cos(position * frequency), Math.sin(position * frequency)];
    out[i] = head[i]! * cos - head[i + half]! * sin;
    out[i + half] = head[i + half]! * cos + head[i]! * sin;
  });
  return out;
}

function rmsNorm(row: Float64Array, weight: Float32Array, config: ModelConfig): Float64Array {
  const scale = 1 / Math.sqrt(dot(row, row) / row.length + config.normEpsilon!);
  return row.map((value, i) => value * scale * weight[i]!);
}

function project(rows: Rows, weight: Float32Array, bias: Float32Array): Rows {
  return rows.map((row) => {
    const n = weight.length / row.length;
    return Float64Array.from(
      { length: n },
      (_, i) => dot(row, weight.subarray(i * row.length, (i + 1) * row.length)) + (bias[i] ?? 0),
    );
  });
}

function sum(a: Rows, b: Rows): Rows {
  return a.map((row, t) => row.map((value, i) => value + b[t]![i]!));
}

function dot(a: Float64Array, b: Float64Array | Float32Array): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i]! * b[i]!;
  return total;
}

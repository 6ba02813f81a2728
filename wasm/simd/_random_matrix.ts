/** Random weights in every stored form, for tests, with what they are worth by the form's definition. */
import { dequantiseRow } from "../gguf/dequantise.ts";
import { GGUF_TYPES, type GgufType, rowBytes } from "../gguf/types.ts";
import type { Matrix, MatrixForm } from "./decoder.ts";
import { layoutBytes, sourceLayouts } from "./pack_kind.ts";

/** A matrix whose sources are bytes in memory. */
export interface RandomMatrix {
  matrix: Matrix;
  parts: Uint8Array[];
}

/** Every form that can be packed, by a name for tests; `k` is a size of its rows that is whole blocks. */
export const FORMS: readonly { name: string; form: MatrixForm; k: number }[] = [
  ...(Object.keys(GGUF_TYPES) as GgufType[]).map((gguf) => ({
    name: gguf,
    form: { type: "gguf", gguf } as const,
    k: 512,
  })),
  ...[4, 8].flatMap((bits) =>
    [16, 32, 64, 128].flatMap((block) =>
      (["f32", "f16"] as const).flatMap((scales) =>
        (["u8", null] as const).map((zeroPoints) => ({
          name: `nbits ${bits} block ${block} ${scales}${zeroPoints ? " zero points" : ""}`,
          form: { type: "nbits", bits: bits as 4 | 8, block, scales, zeroPoints } as const,
          k: 160,
        }))
      )
    )
  ),
  ...[true, false].flatMap((signed) =>
    [true, false].flatMap((transposed) =>
      [true, false].map((perRow) => ({
        name: `int8${signed ? " signed" : ""}${transposed ? " [k, n]" : ""}${
          perRow ? " per row" : ""
        }`,
        form: { type: "int8", signed, transposed, perRow } as const,
        k: 96,
      }))
    )
  ),
  ...(["f32", "f16", "bf16"] as const).flatMap((dtype) =>
    [true, false].map((transposed) => ({
      name: `${dtype}${transposed ? " [k, n]" : ""}`,
      form: { type: "float", dtype, transposed } as const,
      k: 37,
    }))
  ),
];

/** A generator of bytes and numbers that a seed determines (mulberry32). */
export function randomUnit(seed: number): () => number {
  return () => {
    seed = seed + 0x6d2b79f5 | 0;
    let t = Math.imul(seed ^ seed >>> 15, 1 | seed);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
}

/**
 * Random weights [n, k] of a form: every code, and finite scales of both signs.
 * @param zeroPoints of int8 forms: how many there are.
 */
export function randomMatrix(
  form: MatrixForm,
  n: number,
  k: number,
  seed: number,
  zeroPoints: "none" | "one" | "each" = "each",
): RandomMatrix {
  const unit = randomUnit(seed);
  const matrix: Matrix = { n, k, form, sources: [] };
  if (form.type === "int8" && zeroPoints !== "none") {
    matrix.sources = [
      new Uint8Array(),
      new Uint8Array(),
      new Uint8Array(zeroPoints === "one" ? 1 : n),
    ];
  }
  const parts = sourceLayouts(matrix).map((layout) => {
    const bytes = new Uint8Array(layoutBytes(layout, n, k));
    for (let i = 0; i < bytes.length; i++) bytes[i] = 256 * unit();
    return bytes;
  });
  const value = () => (unit() - 0.5) / 8;
  if (form.type === "float") fill(parts[0]!, form.dtype, value);
  else if (form.type === "int8") fill(parts[1]!, "f32", value);
  else if (form.type === "nbits") fill(parts[1]!, form.scales, value);
  else finiteScales(form.gguf, parts[0]!, value);
  matrix.sources = parts;
  return { matrix, parts };
}

function fill(bytes: Uint8Array, dtype: "f32" | "f16" | "bf16", value: () => number): void {
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += dtype === "f32" ? 4 : 2) {
    if (dtype === "f32") view.setFloat32(at, value(), true);
    else if (dtype === "f16") view.setFloat16(at, value(), true);
    else view.setUint16(at, float32Bits(value()) >>> 16, true);
  }
}

function float32Bits(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]!;
}

/** Where the f16 scales and minima of a type's block are. */
const HALVES: Partial<Record<GgufType, number[]>> = {
  Q4_0: [0],
  Q4_1: [0, 2],
  Q5_0: [0],
  Q5_1: [0, 2],
  Q8_0: [0],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
};

function finiteScales(type: GgufType, bytes: Uint8Array, value: () => number): void {
  const halves = HALVES[type];
  if (!halves) return fill(bytes, type.toLowerCase() as "f32", value);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += GGUF_TYPES[type].bytes) {
    for (const half of halves) view.setFloat16(at + half, value(), true);
  }
}

/** The weights [n, k] of a matrix by its form's definition, rounded to f32 once. */
export function definedWeights({ matrix, parts }: RandomMatrix): Float32Array<ArrayBuffer> {
  const { form, n, k } = matrix;
  const out = new Float32Array(n * k);
  for (let row = 0; row < n; row++) {
    if (form.type === "gguf") {
      dequantiseRow(form.gguf, parts[0]!, row * rowBytes(form.gguf, k), k, out, row * k);
    } else {
      for (let i = 0; i < k; i++) out[row * k + i] = definedWeight(matrix, parts, row, i);
    }
  }
  return out;
}

function definedWeight(
  { form, n, k }: Matrix,
  parts: readonly Uint8Array[],
  row: number,
  i: number,
): number {
  const [codes, scales, zeros] = parts.map((part) =>
    new DataView(part.buffer, part.byteOffset, part.length)
  );
  switch (form.type) {
    case "gguf":
      throw new TypeError("GGUF rows are dequantised whole");
    case "float": {
      const at = form.transposed ? i * n + row : row * k + i;
      if (form.dtype === "f32") return codes!.getFloat32(4 * at, true);
      if (form.dtype === "f16") return codes!.getFloat16(2 * at, true);
      const bits = codes!.getUint16(2 * at, true) << 16;
      return new Float32Array(Uint32Array.of(bits).buffer)[0]!;
    }
    case "int8": {
      const at = form.transposed ? i * n + row : row * k + i;
      const read = (view: DataView, at: number) =>
        form.signed ? view.getInt8(at) : view.getUint8(at);
      const zero = zeros ? read(zeros, zeros.byteLength === 1 ? 0 : row) : 0;
      return (read(codes!, at) - zero) * scales!.getFloat32(form.perRow ? 4 * row : 0, true);
    }
    case "nbits": {
      const { bits, block } = form;
      const blocks = Math.ceil(k / block);
      const each = row * blocks + Math.floor(i / block);
      const code = (view: DataView, first: number, index: number) =>
        bits === 8
          ? view.getUint8(first + index)
          : view.getUint8(first + (index >> 1)) >> 4 * (index & 1) & 15;
      const scale = form.scales === "f32"
        ? scales!.getFloat32(4 * each, true)
        : scales!.getFloat16(2 * each, true);
      const zero = zeros
        ? code(zeros, row * Math.ceil(blocks * bits / 8), Math.floor(i / block))
        : 2 ** (bits - 1);
      return (code(codes!, each * block * bits / 8, i % block) - zero) * scale;
    }
  }
}

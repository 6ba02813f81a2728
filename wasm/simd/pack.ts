/**
 * Stored weights into the packed form that the kernels read: groups of 16 rows, their codes interleaved
 * for vectors of four rows, scales beside them. Bits of scales and codes are kept but for what
 * `packedKind()` says: signed codes become unsigned, f16 scales may be widened.
 */
import { MdiError } from "../error.ts";
import { rowBF16, rowF16, rowF32 } from "../gguf/dequantise_plain.ts";
import { GROUP } from "./abi.ts";
import type { Matrix, Vector } from "./decoder.ts";
import { packFloat } from "./pack_float.ts";
import { packGguf } from "./pack_gguf.ts";
import { packInt8 } from "./pack_int8.ts";
import { DTYPE_BYTES, layoutBytes, packedKind, sourceLayouts } from "./pack_kind.ts";
import { packNBits } from "./pack_nbits.ts";
import { groupBytes, groupsOf } from "./packed_layout.ts";
import { type PackedViews, packedViews } from "./packed_views.ts";

/**
 * Packs a whole matrix.
 * @param parts the bytes of its sources.
 * @param out gets `packedBytes()` bytes; begins at a multiple of 4.
 * @throws {MdiError} model_unsupported where there is no kind for it.
 * @throws {RangeError} where the parts or `out` have not the sizes that the matrix needs.
 */
export function packMatrix(matrix: Matrix, parts: readonly Uint8Array[], out: Uint8Array): void {
  packGroups(matrix, parts, 0, groupsOf(matrix.n), out);
}

/**
 * Packs groups `first` to `end - 1` of a matrix.
 * @param parts of each source the bytes of those rows alone: of a transposed source [k, rows] without
 * the columns between, of a source that all rows share all of it.
 * @param out gets the groups; begins at a multiple of 4.
 * @throws {MdiError | RangeError} as {@linkcode packMatrix}.
 */
export function packGroups(
  matrix: Matrix,
  parts: readonly Uint8Array[],
  first: number,
  end: number,
  out: Uint8Array,
): void {
  const { form, n, k } = matrix;
  const kind = requireKind(matrix);
  const rows = Math.min(n, GROUP * end) - GROUP * first;
  if (!(first >= 0 && first < end && rows > 0)) {
    throw new RangeError(`Cannot pack groups ${first} to ${end} of ${n} rows`);
  }
  const layouts = sourceLayouts(matrix);
  for (const [i, layout] of layouts.entries()) {
    expectLength(`source ${i}`, parts[i]?.length, layoutBytes(layout, rows, k));
  }
  expectLength("output", out.length, (end - first) * groupBytes(kind, k));
  if (rows % GROUP !== 0) out.fill(0, out.length - groupBytes(kind, k));
  packRows(form, parts, rows, k, packedViews(out));
}

function packRows(
  form: Matrix["form"],
  parts: readonly Uint8Array[],
  rows: number,
  k: number,
  out: PackedViews,
): void {
  switch (form.type) {
    case "gguf": {
      const { gguf } = form;
      if (gguf === "F32") return packFloat(4, false, parts[0]!, rows, k, out);
      if (gguf === "F16" || gguf === "BF16") return packFloat(2, false, parts[0]!, rows, k, out);
      return packGguf(gguf, parts[0]!, rows, k, out);
    }
    case "float":
      return packFloat(DTYPE_BYTES[form.dtype], form.transposed, parts[0]!, rows, k, out);
    case "int8":
      return packInt8(form, parts, rows, k, out);
    case "nbits":
      return packNBits(form, parts, rows, k, out);
  }
}

/**
 * The kind that a matrix becomes.
 * @throws {MdiError} model_unsupported where there is none.
 */
export function requireKind({ form, n, k }: Matrix): number {
  const kind = packedKind(form, k);
  if (typeof kind === "number") return kind;
  throw new MdiError(
    "model_unsupported",
    `Cannot pack a matrix of ${n} rows: it has ${kind.unsupported}; use --backend ort`,
  );
}

function expectLength(what: string, met: number | undefined, needed: number): void {
  if (met === needed) return;
  throw new RangeError(`Cannot pack: the ${what} has ${met} bytes where ${needed} are needed`);
}

/**
 * Widens a vector to f32.
 * @throws {MdiError} model_corrupt where the bytes are not its values.
 */
export function packVector({ length, dtype }: Vector, bytes: Uint8Array): Float32Array {
  if (bytes.length !== length * DTYPE_BYTES[dtype]) {
    throw new MdiError(
      "model_corrupt",
      `Cannot read a vector of ${length} ${dtype} values: it has ${bytes.length} bytes`,
    );
  }
  const out = new Float32Array(length);
  const widen = { f32: rowF32, f16: rowF16, bf16: rowBF16 }[dtype];
  widen(bytes, 0, length, out, 0);
  return out;
}

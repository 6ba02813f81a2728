/** Which kind of packed weights a stored form becomes, and how its sources are laid out. */
import type { GgufType } from "../gguf/types.ts";
import { rowBytes } from "../gguf/types.ts";
import {
  BF16,
  F16,
  F32,
  Q4_F2,
  Q4_FZ,
  Q4_H,
  Q4_HM,
  Q4_K,
  Q5_H,
  Q5_HM,
  Q5_K,
  Q6_K,
  Q8_F2,
  Q8_FZ,
  Q8_H,
} from "./abi.ts";
import type { Matrix, MatrixForm } from "./decoder.ts";
import { packedKindInfo } from "./packed_layout.ts";

/** Why a matrix cannot be packed. */
export interface Unsupported {
  /** Part of a sentence: "blocks of 24 weights". */
  unsupported: string;
}

const GGUF_KINDS: Record<GgufType, number> = {
  F32,
  F16,
  BF16,
  Q4_0: Q4_H,
  Q4_1: Q4_HM,
  Q4_K,
  Q5_0: Q5_H,
  Q5_1: Q5_HM,
  Q5_K,
  Q6_K,
  Q8_0: Q8_H,
};

const FLOAT_KINDS = { f32: F32, f16: F16, bf16: BF16 };

/** Bytes of a value. */
export const DTYPE_BYTES = { f32: 4, f16: 2, bf16: 2 } as const;

/** The kind that a form with rows of `k` weights becomes, or why there is none. */
export function packedKind(form: MatrixForm, k: number): number | Unsupported {
  const kind = kindOfForm(form);
  if (typeof kind !== "number") return kind;
  const { run } = packedKindInfo(kind)!;
  return k > 0 && k % run === 0
    ? kind
    : { unsupported: `rows of ${k} weights, not a multiple of ${run}` };
}

function kindOfForm(form: MatrixForm): number | Unsupported {
  switch (form.type) {
    case "gguf":
      return GGUF_KINDS[form.gguf];
    case "float":
      return FLOAT_KINDS[form.dtype];
    case "int8":
      return Q8_FZ;
    case "nbits": {
      const { bits, block, scales, zeroPoints } = form;
      if (zeroPoints === "float") return { unsupported: "zero points that are not integers" };
      if (block === 16) return bits === 4 ? Q4_F2 : Q8_F2;
      if (block < 32 || block % 32 !== 0) return { unsupported: `blocks of ${block} weights` };
      if (scales === "f16" && zeroPoints === null) return bits === 4 ? Q4_H : Q8_H;
      return bits === 4 ? Q4_FZ : Q8_FZ;
    }
  }
}

/** How a source of a matrix lies in its bytes. */
export interface SourceLayout {
  /** A row after another, a column ([k, n]) after another, or something that all rows share. */
  by: "row" | "column" | "all";
  /** Bytes of a row, of a value of a column, or of it all. */
  bytes: number;
}

/** How each of a matrix's sources is laid out, in their order. */
export function sourceLayouts(matrix: Matrix): SourceLayout[] {
  const { form, k, sources } = matrix;
  switch (form.type) {
    case "gguf":
      return [{ by: "row", bytes: rowBytes(form.gguf, k) }];
    case "float":
      return [values(form.transposed, k, DTYPE_BYTES[form.dtype])];
    case "int8": {
      const layouts = [values(form.transposed, k, 1), perRow(form.perRow, 4)];
      if (sources.length > 2) layouts.push(perRow(sources[2]!.length !== 1, 1));
      return layouts;
    }
    case "nbits": {
      const blocks = Math.ceil(k / form.block);
      const layouts: SourceLayout[] = [
        { by: "row", bytes: blocks * form.block * form.bits / 8 },
        { by: "row", bytes: blocks * DTYPE_BYTES[form.scales] },
      ];
      if (form.zeroPoints !== null) {
        layouts.push({ by: "row", bytes: Math.ceil(blocks * form.bits / 8) });
      }
      return layouts;
    }
  }
}

/** Bytes of `rows` rows of a source of a matrix with rows of `k` weights. */
export function layoutBytes({ by, bytes }: SourceLayout, rows: number, k: number): number {
  return by === "row" ? rows * bytes : by === "column" ? rows * k * bytes : bytes;
}

function values(transposed: boolean, k: number, bytes: number): SourceLayout {
  return transposed ? { by: "column", bytes } : { by: "row", bytes: k * bytes };
}

function perRow(each: boolean, bytes: number): SourceLayout {
  return { by: each ? "row" : "all", bytes };
}

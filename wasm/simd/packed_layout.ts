/** Sizes of packed matrices; README.md draws their layouts, `abi.ts` names their kinds. */
import {
  BF16,
  BLOCK,
  F16,
  F32,
  GROUP,
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
  SUPER,
} from "./abi.ts";

/** How a kind's stream of bytes repeats within a group of 16 rows. */
export interface PackedKindInfo {
  /** For messages. */
  readonly name: string;
  /** Weights of a row after which the stream repeats: `k` is a multiple of it. */
  readonly run: number;
  /** Bytes that 16 rows of so many weights take. */
  readonly bytes: number;
}

const KINDS: ReadonlyMap<number, PackedKindInfo> = new Map([
  [F32, { name: "F32", run: 1, bytes: 4 * GROUP }],
  [F16, { name: "F16", run: 1, bytes: 2 * GROUP }],
  [BF16, { name: "BF16", run: 1, bytes: 2 * GROUP }],
  [Q4_H, { name: "Q4_H", run: BLOCK, bytes: 288 }],
  [Q4_HM, { name: "Q4_HM", run: BLOCK, bytes: 320 }],
  [Q4_FZ, { name: "Q4_FZ", run: BLOCK, bytes: 336 }],
  [Q4_F2, { name: "Q4_F2", run: BLOCK, bytes: 416 }],
  [Q4_K, { name: "Q4_K", run: SUPER, bytes: 8 * 288 + 64 }],
  [Q5_H, { name: "Q5_H", run: BLOCK, bytes: 352 }],
  [Q5_HM, { name: "Q5_HM", run: BLOCK, bytes: 384 }],
  [Q5_K, { name: "Q5_K", run: SUPER, bytes: 8 * 352 + 64 }],
  [Q6_K, { name: "Q6_K", run: SUPER, bytes: 8 * 416 + 32 }],
  [Q8_H, { name: "Q8_H", run: BLOCK, bytes: 544 }],
  [Q8_FZ, { name: "Q8_FZ", run: BLOCK, bytes: 592 }],
  [Q8_F2, { name: "Q8_F2", run: BLOCK, bytes: 672 }],
]);

/** What is known of a kind; undefined where there is no such kind. */
export function packedKindInfo(kind: number): PackedKindInfo | undefined {
  return KINDS.get(kind);
}

/** Groups of 16 that hold `n` rows. */
export function groupsOf(n: number): number {
  return Math.ceil(n / GROUP);
}

/**
 * Bytes of one group of 16 packed rows of `k` weights.
 * @throws {RangeError} where there is no such kind, or `k` is not a multiple of its run.
 */
export function groupBytes(kind: number, k: number): number {
  const info = KINDS.get(kind);
  if (!info) throw new RangeError(`Cannot size a packed matrix: there is no kind ${kind}`);
  const { name, run, bytes } = info;
  if (!Number.isSafeInteger(k) || k < 1 || k % run !== 0) {
    throw new RangeError(
      `Cannot size a packed ${name} matrix: ${k} weights are not runs of ${run}`,
    );
  }
  return k / run * bytes;
}

/**
 * Bytes of a packed matrix [n, k]; the rows are padded to whole groups.
 * @throws {RangeError} as {@linkcode groupBytes}.
 */
export function packedBytes(kind: number, n: number, k: number): number {
  return groupsOf(n) * groupBytes(kind, k);
}

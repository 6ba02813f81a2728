/**
 * Packed weights back to numbers, one at a time, as README.md draws their layouts: what tests hold the
 * packers and the kernels against. Shares no code with the packers.
 */
import * as abi from "./abi.ts";

/** How one kind's blocks of 16 × 32 weights are stored. */
interface BlockForm {
  bits: 4 | 5 | 6 | 8;
  /** Bytes of a block, its scales among them. */
  bytes: number;
  /** Bytes after each 8 blocks. */
  after?: number;
  /** The weight with code `q` in the block at `at`; `end` is after the super-block's last block. */
  weight(view: DataView, at: number, end: number, lane: number, k: number, q: number): number;
}

const FORMS: Record<number, BlockForm> = {
  [abi.Q4_H]: {
    bits: 4,
    bytes: 288,
    weight: (v, at, _, lane, _k, q) => v.getFloat16(at + 256 + 2 * lane, true) * (q - 8),
  },
  [abi.Q4_HM]: { bits: 4, bytes: 320, weight: (v, at, _, l, _k, q) => minimum(v, at + 256, l, q) },
  [abi.Q4_FZ]: { bits: 4, bytes: 336, weight: (v, at, _, l, _k, q) => zeroed(v, at + 256, l, q) },
  [abi.Q4_F2]: {
    bits: 4,
    bytes: 416,
    weight: (v, at, _, l, k, q) => zeroed2(v, at + 256, l, k, q),
  },
  [abi.Q4_K]: {
    bits: 4,
    bytes: 288,
    after: 64,
    weight: (v, at, end, l, _k, q) => superBlock(v, at + 256, end, l, q),
  },
  [abi.Q5_H]: {
    bits: 5,
    bytes: 352,
    weight: (v, at, _, lane, _k, q) => v.getFloat16(at + 320 + 2 * lane, true) * (q - 16),
  },
  [abi.Q5_HM]: { bits: 5, bytes: 384, weight: (v, at, _, l, _k, q) => minimum(v, at + 320, l, q) },
  [abi.Q5_K]: {
    bits: 5,
    bytes: 352,
    after: 64,
    weight: (v, at, end, l, _k, q) => superBlock(v, at + 320, end, l, q),
  },
  [abi.Q6_K]: {
    bits: 6,
    bytes: 416,
    after: 32,
    weight: (v, at, end, lane, k, q) =>
      v.getFloat16(end + 2 * lane, true) * v.getInt8(at + 384 + (k < 16 ? 0 : 16) + lane) *
      (q - 32),
  },
  [abi.Q8_H]: {
    bits: 8,
    bytes: 544,
    weight: (v, at, _, lane, _k, q) => v.getFloat16(at + 512 + 2 * lane, true) * (q - 128),
  },
  [abi.Q8_FZ]: { bits: 8, bytes: 592, weight: (v, at, _, l, _k, q) => zeroed(v, at + 512, l, q) },
  [abi.Q8_F2]: {
    bits: 8,
    bytes: 672,
    weight: (v, at, _, l, k, q) => zeroed2(v, at + 512, l, k, q),
  },
};

/** Four f16 scales and four f16 minima for each quad of rows. */
function minimum(view: DataView, at: number, lane: number, q: number): number {
  const place = at + (lane >> 2) * 16 + (lane & 3) * 2;
  return view.getFloat16(place, true) * q + view.getFloat16(place + 8, true);
}

/** 16 f32 scales, then 16 u8 zero points. */
function zeroed(view: DataView, at: number, lane: number, q: number): number {
  return view.getFloat32(at + 4 * lane, true) * (q - view.getUint8(at + 64 + lane));
}

/** 16 f32 scales for each half of the block, then 16 u8 zero points for each. */
function zeroed2(view: DataView, at: number, lane: number, k: number, q: number): number {
  const half = k < 16 ? 0 : 1;
  const scale = view.getFloat32(at + 64 * half + 4 * lane, true);
  return scale * (q - view.getUint8(at + 128 + 16 * half + lane));
}

/** 16 u8 c and 16 u8 m in the block; four f16 d and four f16 e for each quad after the super-block. */
function superBlock(view: DataView, at: number, end: number, lane: number, q: number): number {
  const place = end + (lane >> 2) * 16 + (lane & 3) * 2;
  return view.getFloat16(place, true) * view.getUint8(at + lane) * q -
    view.getFloat16(place + 8, true) * view.getUint8(at + 16 + lane);
}

/** Code `k` (0 to 31) of a row in the block at `at`. */
function codeAt(bits: number, view: DataView, at: number, lane: number, k: number): number {
  const quad = lane >> 2;
  const place = 16 * quad + 4 * (lane & 3) + (k & 3);
  if (bits === 8) return view.getUint8(at + 64 * (k >> 2) + place);
  const half = k >> 4;
  const j = (k & 15) >> 2;
  const low = view.getUint8(at + 64 * j + place) >> 4 * half & 15;
  if (bits === 4) return low;
  if (bits === 5) return low | (view.getUint8(at + 256 + place) >> 2 * j + half & 1) << 4;
  return low | (view.getUint8(at + 256 + 64 * half + place) >> 2 * j & 3) << 4;
}

/** All weights of a packed matrix [n, k], rounded to f32 once. */
export function unpackMatrix(
  kind: number,
  packed: Uint8Array,
  n: number,
  k: number,
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(n * k);
  for (let row = 0; row < n; row++) {
    for (let i = 0; i < k; i++) out[row * k + i] = unpackWeight(kind, packed, k, row, i);
  }
  return out;
}

/** Weight `i` of a row of a packed matrix with rows of `k`, as an f64; padding rows may be asked for. */
export function unpackWeight(
  kind: number,
  packed: Uint8Array,
  k: number,
  row: number,
  i: number,
): number {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  const group = row >> 4;
  const lane = row & 15;
  const value = (group * k + i) * 16 + lane;
  if (kind === abi.F32) return view.getFloat32(4 * value, true);
  if (kind === abi.F16) return view.getFloat16(2 * value, true);
  if (kind === abi.BF16) {
    return new Float32Array(Uint32Array.of(view.getUint16(2 * value, true) << 16).buffer)[0]!;
  }
  const { bits, bytes, after = 0, weight } = FORMS[kind]!;
  const perSuper = after === 0 ? 1 : 8;
  const superBytes = perSuper * bytes + after;
  const block = i >> 5;
  const start = group * (k / 32 / perSuper) * superBytes +
    Math.floor(block / perSuper) * superBytes;
  const at = start + block % perSuper * bytes;
  return weight(
    view,
    at,
    start + perSuper * bytes,
    lane,
    i & 31,
    codeAt(bits, view, at, lane, i & 31),
  );
}

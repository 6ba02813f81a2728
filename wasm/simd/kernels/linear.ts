// y = W · x + bias for packed weights of every kind; README.md beside abi.ts draws the layouts.
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
  READS_I8,
  READS_U8,
  SATURATES,
} from "../abi";
import { dot } from "./lanes";
import {
  bits,
  Bits4,
  Bits4Pairs,
  Bits5,
  Bits5Pairs,
  Bits6,
  Bits6Pairs,
  Bits8,
  Bits8Wide,
} from "./linear_codes";
import { Binary16, Brain16, gemmFloat, gemvFloat, Whole } from "./linear_float";
import { gemm } from "./linear_gemm";
import { gemmHalves } from "./linear_gemm_halves";
import { gemv } from "./linear_gemv";
import { gemvHalves } from "./linear_gemv_halves";
import { gemmPlain, gemvPlain } from "./linear_plain";
import { Float, FloatTwo, Half, HalfMin, isHalved, Super, SuperTwo } from "./linear_scales";

/**
 * How this host's dot product reads bytes above 127 of its second operand: READS_U8, READS_I8 or
 * SATURATES.
 */
export function probe(): i32 {
  if (!ASC_FEATURE_RELAXED_SIMD) return READS_I8;
  const sum = i32x4.extract_lane(dot(i8x16.splat(127), i8x16.splat(-1), i32x4.splat(0)), 0);
  return sum == 4 * 127 * 255 ? READS_U8 : sum == 4 * 127 * -1 ? READS_I8 : SATURATES;
}

/**
 * Flips the top bits of the codes of packed 8-bit weights: from unsigned as stored to what READS_I8
 * wants.
 */
export function flip8(kind: i32, w: usize, groups: i32, K: i32): void {
  const scales = kind == Q8_H ? 32 : kind == Q8_FZ ? 80 : 160, top = i8x16.splat(-128);
  for (let left = groups * (K >> 5); left > 0; left--) {
    for (const end = w + 512; w < end; w += 16) v128.store(w, v128.xor(v128.load(w), top));
    w += scales;
  }
}

/**
 * Outputs of groups g0 to g1 (16 each) of a packed matrix of K columns for M rows, plus the bias (0
 * for none), in place of what is at y or added to it. x: quantised rows, or f32 rows for weights of
 * floating point; y: the first row's first output; xs, ys: bytes from row to row. Both need room
 * for M rounded up to 4 rows. The bits of a row depend on nothing but that row, while activations
 * are below 10^13. `reading` is what probe() returned, and 8-bit codes are as flip8() says.
 */
export function linear(
  kind: i32,
  reading: i32,
  w: usize,
  x: usize,
  xs: usize,
  y: usize,
  ys: usize,
  M: i32,
  K: i32,
  g0: i32,
  g1: i32,
  add: i32,
  bias: usize,
): void {
  // 8-bit codes as they are read: the one for zero, and what their zero points are moved by.
  const symmetric = reading == READS_I8 ? 0 : 128, offset = symmetric - 128;
  const saturates = reading == SATURATES;
  switch (kind) {
    case F32:
      return float<Whole>(w, x, xs, y, ys, M, K, g0, g1, add, bias);
    case F16:
      return float<Binary16>(w, x, xs, y, ys, M, K, g0, g1, add, bias);
    case BF16:
      return float<Brain16>(w, x, xs, y, ys, M, K, g0, g1, add, bias);
    case Q4_H:
      return codes<Bits4, Half>(w, x, xs, y, ys, M, K, g0, g1, add, bias, 8, saturates);
    case Q4_HM:
      return codes<Bits4, HalfMin>(w, x, xs, y, ys, M, K, g0, g1, add, bias, 0, saturates);
    case Q4_FZ:
      return codes<Bits4, Float>(w, x, xs, y, ys, M, K, g0, g1, add, bias, 0, saturates);
    case Q4_F2:
      return codes<Bits4, FloatTwo>(w, x, xs, y, ys, M, K, g0, g1, add, bias, 0, saturates);
    case Q4_K:
      return codes<Bits4, Super>(w, x, xs, y, ys, M, K, g0, g1, add, bias, 0, saturates);
    case Q5_H:
      return codes<Bits5, Half>(w, x, xs, y, ys, M, K, g0, g1, add, bias, 16, saturates);
    case Q5_HM:
      return codes<Bits5, HalfMin>(w, x, xs, y, ys, M, K, g0, g1, add, bias, 0, saturates);
    case Q5_K:
      return codes<Bits5, Super>(w, x, xs, y, ys, M, K, g0, g1, add, bias, 0, saturates);
    case Q6_K:
      return codes<Bits6, SuperTwo>(w, x, xs, y, ys, M, K, g0, g1, add, bias, 32, saturates);
    case Q8_H:
      return codes<Bits8, Half>(w, x, xs, y, ys, M, K, g0, g1, add, bias, symmetric, saturates);
    case Q8_FZ:
      return codes<Bits8, Float>(w, x, xs, y, ys, M, K, g0, g1, add, bias, offset, saturates);
    case Q8_F2:
      return codes<Bits8, FloatTwo>(w, x, xs, y, ys, M, K, g0, g1, add, bias, offset, saturates);
    default:
      unreachable();
  }
}

/**
 * Rows that tiles of four take: all but one or two left over, which are faster one by one. Three
 * make a tile with a row that nobody reads.
 */
@inline
function tiledRows(M: i32): i32 {
  return (M + 1) & ~3;
}

/** blocks(), where the dot product saturates with codes that it is exact for. */
function codes<C, S>(
  w: usize,
  x: usize,
  xs: usize,
  y: usize,
  ys: usize,
  M: i32,
  K: i32,
  g0: i32,
  g1: i32,
  add: i32,
  bias: usize,
  offset: i32,
  saturates: bool,
): void {
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (saturates) {
      if (bits<C>() == 4) blocks<Bits4Pairs, S>(w, x, xs, y, ys, M, K, g0, g1, add, bias, offset);
      else if (bits<C>() == 5) {
        blocks<Bits5Pairs, S>(w, x, xs, y, ys, M, K, g0, g1, add, bias, offset);
      } else if (bits<C>() == 6) {
        blocks<Bits6Pairs, S>(w, x, xs, y, ys, M, K, g0, g1, add, bias, offset);
      } else blocks<Bits8Wide, S>(w, x, xs, y, ys, M, K, g0, g1, add, bias, offset);
      return;
    }
  }
  blocks<C, S>(w, x, xs, y, ys, M, K, g0, g1, add, bias, offset);
}

/** Group by group, so that a row left over finds the group's weights in the cache. */
function blocks<C, S>(
  w: usize,
  x: usize,
  xs: usize,
  y: usize,
  ys: usize,
  M: i32,
  K: i32,
  g0: i32,
  g1: i32,
  add: i32,
  bias: usize,
  offset: i32,
): void {
  if (!ASC_FEATURE_RELAXED_SIMD || idof<C>() == idof<Bits8Wide>()) {
    return plainBlocks<C, S>(w, x, xs, y, ys, M, K, g0, g1, add, bias, offset);
  }
  const tiled = tiledRows(M);
  if (isHalved<S>()) {
    if (M == 1) return gemvHalves<C, S>(w, x, y, K, g0, g1, add, bias, offset);
    for (let g = g0; g < g1; g++) {
      gemmHalves<C, S>(w, x, xs, y, ys, tiled, K, g, add, bias, offset);
      for (let r: usize = tiled; r < <usize>M; r++) {
        gemvHalves<C, S>(w, x + r * xs, y + r * ys, K, g, g + 1, add, bias, offset);
      }
    }
  } else {
    if (M == 1) return gemv<C, S>(w, x, y, K, g0, g1, add, bias, offset);
    for (let g = g0; g < g1; g++) {
      gemm<C, S>(w, x, xs, y, ys, tiled, K, g, add, bias, offset);
      for (let r: usize = tiled; r < <usize>M; r++) {
        gemv<C, S>(w, x + r * xs, y + r * ys, K, g, g + 1, add, bias, offset);
      }
    }
  }
}

/** blocks() without the relaxed dot product. */
function plainBlocks<C, S>(
  w: usize,
  x: usize,
  xs: usize,
  y: usize,
  ys: usize,
  M: i32,
  K: i32,
  g0: i32,
  g1: i32,
  add: i32,
  bias: usize,
  offset: i32,
): void {
  if (M == 1) return gemvPlain<C, S>(w, x, y, K, g0, g1, add, bias, offset);
  const tiled = tiledRows(M);
  for (let g = g0; g < g1; g++) {
    gemmPlain<C, S>(w, x, xs, y, ys, tiled, K, g, add, bias, offset);
    for (let r: usize = tiled; r < <usize>M; r++) {
      gemvPlain<C, S>(w, x + r * xs, y + r * ys, K, g, g + 1, add, bias, offset);
    }
  }
}

/** blocks() for weights of floating point. */
function float<F>(
  w: usize,
  x: usize,
  xs: usize,
  y: usize,
  ys: usize,
  M: i32,
  K: i32,
  g0: i32,
  g1: i32,
  add: i32,
  bias: usize,
): void {
  if (M == 1) return gemvFloat<F>(w, x, y, K, g0, g1, add, bias);
  const tiled = tiledRows(M);
  for (let g = g0; g < g1; g++) {
    gemmFloat<F>(w, x, xs, y, ys, tiled, K, g, add, bias);
    for (let r: usize = tiled; r < <usize>M; r++) {
      gemvFloat<F>(w, x + r * xs, y + r * ys, K, g, g + 1, add, bias);
    }
  }
}

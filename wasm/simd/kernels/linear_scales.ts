// Forms of scales as types. A body sums integers over a block; what the sums become is here.
import { at, bytesSigned, bytesUnsigned, HALF_MASK, scaledHalves, splatAt } from "./lanes";
import { bits } from "./linear_codes";

/** f16 scales of 16 rows: w = s · (q - offset). */
export class Half {}
/** For each four rows f16 scales and minima: w = s · q + m. */
export class HalfMin {}
/** f32 scales and u8 zero points of 16 rows: w = s · (q - z). */
export class Float {}
/** The same for each half of the block. */
export class FloatTwo {}
/** u8 scales and minima of a block, f16 of a super-block: w = d · c · q - e · m. */
export class Super {}
/** i8 scales of half a block, f16 of a super-block: w = d · c · (q - 32). */
export class SuperTwo {}

/** Whether the scale changes in the middle of a block. */
@inline
export function isHalved<S>(): bool {
  return idof<S>() == idof<FloatTwo>() || idof<S>() == idof<SuperTwo>();
}

/** Whether eight blocks share a scale of their own. */
@inline
export function isSuper<S>(): bool {
  return idof<S>() == idof<Super>() || idof<S>() == idof<SuperTwo>();
}

/** Whether the super-block has minima too. */
@inline
export function hasSuperMin<S>(): bool {
  return idof<S>() == idof<Super>();
}

/** The mask of scaledHalves(). */
export function halfMask(): v128 {
  return i32x4.splat(HALF_MASK);
}

/** Bytes of the scales of a block of 32 for 16 rows. */
@inline
export function scaleBytes<S>(): usize {
  return idof<S>() == idof<HalfMin>()
    ? 64
    : idof<S>() == idof<Float>()
    ? 80
    : idof<S>() == idof<FloatTwo>()
    ? 160
    : 32;
}

/** Bytes behind each eight blocks. */
@inline
export function superBytes<S>(): usize {
  return idof<S>() == idof<Super>() ? 64 : idof<S>() == idof<SuperTwo>() ? 32 : 0;
}

/** Bytes of a row group. */
@inline
export function groupBytes<S>(codeBytes: usize, K: i32): usize {
  return <usize>(K >> 5) * (codeBytes + scaleBytes<S>()) + <usize>(K >> 8) * superBytes<S>();
}

/**
 * What the integer sums of a block start from, so that they end as if codes had no offset: codes of
 * fixed offset, and 8-bit codes that are read as signed.
 */
@inline
export function initial<C, S>(record: usize, offset: i32): v128 {
  if (idof<S>() == idof<Half>() || (idof<S>() == idof<Float>() && bits<C>() == 8)) {
    return i32x4.splat(-offset * (load<i32>(record, 8) + load<i32>(record, 12)));
  }
  return i32x4.splat(0);
}

/** The same for half a block. */
@inline
export function initialHalf<C, S>(record: usize, half: usize, offset: i32): v128 {
  if (idof<S>() == idof<SuperTwo>() || bits<C>() == 8) {
    return i32x4.splat(-offset * load<i32>(record + 8 + 4 * half));
  }
  return i32x4.splat(0);
}

/** A block's sum of activations where zero points need it. */
@inline
export function total<S>(record: usize): v128 {
  if (idof<S>() != idof<Float>()) return i32x4.splat(0);
  return i32x4.splat(load<i32>(record, 8) + load<i32>(record, 12));
}

/**
 * Scales of quad q of a block, which are at `w`: f32, those of f16 times 2^-112. `h` is halfMask().
 */
@inline
export function blockScale<S>(w: usize, q: usize, h: v128): v128 {
  if (idof<S>() == idof<Half>()) return scaledHalves(w, 8 * q, h);
  if (idof<S>() == idof<HalfMin>()) return scaledHalves(w, 16 * q, h);
  if (idof<S>() == idof<Float>()) return at(w, 16 * q);
  return f32x4.convert_i32x4_s(bytesUnsigned(w, 4 * q));
}

/**
 * What else quad q has: minima as f32, or zero points as i32; nothing of use where the codes'
 * offset is fixed.
 */
@inline
export function blockOffset<S>(w: usize, q: usize, h: v128): v128 {
  if (idof<S>() == idof<HalfMin>()) return scaledHalves(w, 16 * q + 8, h);
  if (idof<S>() == idof<Float>()) return bytesUnsigned(w, 64 + 4 * q);
  if (idof<S>() == idof<Super>()) return f32x4.convert_i32x4_s(bytesUnsigned(w, 16 + 4 * q));
  return h;
}

/**
 * Adds to `acc`, which is a super-block's where there is one, a block's `sum` of products with the
 * block's scale and the activations', and its minimum or zero point. `all` is from total().
 */
@inline
export function addBlock<S>(
  acc: v128,
  sum: v128,
  scale: v128,
  offset: v128,
  record: usize,
  all: v128,
): v128 {
  const s = v128.load32_splat(record);
  if (isSuper<S>()) {
    // A product of integers below 2^24, so exact in f32.
    return f32x4.add(acc, f32x4.mul(f32x4.mul(scale, f32x4.convert_i32x4_s(sum)), s));
  }
  if (idof<S>() == idof<Float>()) sum = i32x4.sub(sum, zeroProducts(offset, all));
  acc = f32x4.add(acc, f32x4.mul(f32x4.convert_i32x4_s(sum), f32x4.mul(scale, s)));
  return idof<S>() == idof<HalfMin>() ? addMinima(acc, offset, record) : acc;
}

/** Adds minima times the activations' sum. */
@inline
export function addMinima(acc: v128, minima: v128, record: usize): v128 {
  return f32x4.add(acc, f32x4.mul(minima, v128.load32_splat(record, 4)));
}

/** Zero points times a sum of activations. Both fit 16 bits, whose product is the cheaper one. */
@inline
function zeroProducts(zeros: v128, sum: v128): v128 {
  return i32x4.dot_i16x8_s(zeros, sum);
}

/** blockScale() of half a block. */
@inline
export function halfBlockScale<S>(w: usize, q: usize, half: usize): v128 {
  if (idof<S>() == idof<FloatTwo>()) return at(w, 64 * half + 16 * q);
  return f32x4.convert_i32x4_s(bytesSigned(w, 16 * half + 4 * q));
}

/** Zero points of half a block. */
@inline
export function halfBlockZero<S>(w: usize, q: usize, half: usize): v128 {
  return bytesUnsigned(w, 128 + 16 * half + 4 * q);
}

/** Adds half a block with zero points. */
@inline
export function addHalf(
  acc: v128,
  sum: v128,
  scale: v128,
  zero: v128,
  record: usize,
  half: usize,
): v128 {
  const shifted = i32x4.sub(sum, zeroProducts(zero, splatAt(record, 8 + 4 * half)));
  const s = f32x4.mul(scale, v128.load32_splat(record));
  return f32x4.add(acc, f32x4.mul(f32x4.convert_i32x4_s(shifted), s));
}

/** Half a block's share of a super-block's sum, an integer still: below 2^24, so exact in f32. */
@inline
export function scaledHalf(sum: v128, scale: v128): v128 {
  return f32x4.mul(scale, f32x4.convert_i32x4_s(sum));
}

/** Adds a block whose halves have scales of their own: f32(c₁ · sum₁ + c₂ · sum₂) · s. */
@inline
export function addScaledHalves(acc: v128, first: v128, second: v128, record: usize): v128 {
  return f32x4.add(acc, f32x4.mul(f32x4.add(first, second), v128.load32_splat(record)));
}

/** Adds a super-block; its scales are at `w`. */
@inline
export function addSuper<S>(
  acc: v128,
  scaled: v128,
  minima: v128,
  w: usize,
  q: usize,
  h: v128,
): v128 {
  if (!hasSuperMin<S>()) return f32x4.add(acc, f32x4.mul(scaled, scaledHalves(w, 8 * q, h)));
  const sum = f32x4.add(acc, f32x4.mul(scaled, scaledHalves(w, 16 * q, h)));
  return f32x4.sub(sum, f32x4.mul(minima, scaledHalves(w, 16 * q + 8, h)));
}

/** Takes the powers of two out again that activations (2^64) and f16 scales (2^-112) carry. */
@inline
export function unscaled<S>(acc: v128): v128 {
  if (idof<S>() == idof<Float>() || idof<S>() == idof<FloatTwo>()) {
    return f32x4.mul(acc, f32x4.splat(<f32>5.421010862427522e-20));
  }
  return f32x4.mul(acc, f32x4.splat(<f32>281474976710656));
}

/**
 * Writes four outputs: the value and, if any, its bias; added to what is there, or in its place.
 */
@inline
export function store(y: usize, offset: usize, value: v128, bias: usize, add: i32): void {
  if (bias) value = f32x4.add(value, v128.load(bias + offset));
  if (add) value = f32x4.add(v128.load(y + offset), value);
  v128.store(y + offset, value);
}

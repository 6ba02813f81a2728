// Forms of scales as types. A body sums integers over a block; what the sums become is here.
import { at, bytesSigned, bytesUnsigned, HALF_MASK, scaledHalves, splatAt } from "./lanes";

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

/** What the integer sums of a block start from: the offset of symmetric codes times the activations' sum. */
@inline
export function initial<S>(record: usize, offset: i32): v128 {
  if (idof<S>() == idof<Half>()) {
    return i32x4.splat(-offset * (load<i32>(record, 8) + load<i32>(record, 12)));
  }
  return i32x4.splat(0);
}

/** The same for half a block. */
@inline
export function initialHalf<S>(record: usize, half: usize): v128 {
  if (idof<S>() == idof<SuperTwo>()) return i32x4.splat(-32 * load<i32>(record + 8 + 4 * half));
  return i32x4.splat(0);
}

/** Adds to `acc` what a block of quad q has: `sum` of its products, scales at `w`. `offset` is added to zero points. */
@inline
export function addBlock<S>(acc: v128, sum: v128, w: usize, q: usize, record: usize, offset: i32, h: v128): v128 {
  const s = splatAt(record, 0);
  if (idof<S>() == idof<Half>()) {
    return f32x4.add(acc, f32x4.mul(f32x4.convert_i32x4_s(sum), f32x4.mul(scaledHalves(w, 8 * q, h), s)));
  }
  if (idof<S>() == idof<HalfMin>()) {
    const scaled = f32x4.mul(f32x4.convert_i32x4_s(sum), f32x4.mul(scaledHalves(w, 16 * q, h), s));
    const least = f32x4.mul(scaledHalves(w, 16 * q + 8, h), splatAt(record, 4));
    return f32x4.add(f32x4.add(acc, scaled), least);
  }
  const total = load<i32>(record, 8) + load<i32>(record, 12);
  const shifted = i32x4.sub(sum, zeroProducts(w + 64 + 4 * q, total, offset));
  return f32x4.add(acc, f32x4.mul(f32x4.convert_i32x4_s(shifted), f32x4.mul(at(w, 16 * q), s)));
}

/** Zero points of four rows times a sum of activations; both fit 16 bits, whose product is the cheaper one. */
@inline
function zeroProducts(zeros: usize, total: i32, offset: i32): v128 {
  const z = i32x4.add(bytesUnsigned(zeros, 0), i32x4.splat(offset));
  return i32x4.dot_i16x8_s(z, i32x4.splat(total & 0xffff));
}

/** addBlock() for half a block. */
@inline
export function addHalf(
  acc: v128,
  sum: v128,
  w: usize,
  q: usize,
  half: usize,
  record: usize,
  offset: i32,
): v128 {
  const zeros = zeroProducts(w + 128 + 16 * half + 4 * q, load<i32>(record + 8 + 4 * half), offset);
  const scale = f32x4.mul(at(w, 64 * half + 16 * q), splatAt(record, 0));
  return f32x4.add(acc, f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(sum, zeros)), scale));
}

// Products of small integers below 2^24 are exact in f32, so these are the integer formulas.

/** Adds a block's share to a super-block's sum: f32(c · sum) · s. */
@inline
export function addScaled(acc: v128, sum: v128, w: usize, q: usize, record: usize): v128 {
  const c = f32x4.convert_i32x4_u(bytesUnsigned(w, 4 * q));
  return f32x4.add(acc, f32x4.mul(f32x4.mul(c, f32x4.convert_i32x4_s(sum)), splatAt(record, 0)));
}

/** Adds a block's share to a super-block's minima: f32(m · total) · s. */
@inline
export function addMinima(acc: v128, w: usize, q: usize, record: usize): v128 {
  const total = f32x4.splat(<f32>(load<i32>(record, 8) + load<i32>(record, 12)));
  const m = f32x4.convert_i32x4_u(bytesUnsigned(w, 16 + 4 * q));
  return f32x4.add(acc, f32x4.mul(f32x4.mul(m, total), splatAt(record, 0)));
}

/** Half a block's share of a super-block's sum, c · sum: an integer still. */
@inline
export function scaledHalf(sum: v128, w: usize, q: usize, half: usize): v128 {
  const c = f32x4.convert_i32x4_s(bytesSigned(w, 16 * half + 4 * q));
  return f32x4.mul(c, f32x4.convert_i32x4_s(sum));
}

/** Adds a block whose halves have scales of their own: f32(c₁ · sum₁ + c₂ · sum₂) · s. */
@inline
export function addScaledHalves(acc: v128, first: v128, second: v128, record: usize): v128 {
  return f32x4.add(acc, f32x4.mul(f32x4.add(first, second), splatAt(record, 0)));
}

/** Adds a super-block; its scales are at `w`. */
@inline
export function addSuper<S>(acc: v128, scaled: v128, minima: v128, w: usize, q: usize, h: v128): v128 {
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

/** Writes four outputs: the value and, if any, its bias; added to what is there, or in its place. */
@inline
export function store(y: usize, offset: usize, value: v128, bias: usize, add: i32): void {
  if (bias) value = f32x4.add(value, v128.load(bias + offset));
  if (add) value = f32x4.add(v128.load(y + offset), value);
  v128.store(y + offset, value);
}

/** Rotary positions (Su et al., RoFormer), by halves: value i turns with value i + half. */

/**
 * out = scale · x rotated by the angles of one position. x, out: D f32, may be the same; cos, sin:
 * `half` f32. Values from 2·half on are only scaled.
 */
export function rotate(
  x: usize,
  out: usize,
  cos: usize,
  sin: usize,
  D: i32,
  half: i32,
  scale: f32,
): void {
  const end = <usize>half << 2, factor = f32x4.splat(scale);
  let i: usize = 0;
  for (; i + 16 <= end; i += 16) {
    const a = v128.load(x + i), b = v128.load(x + end + i);
    const c = v128.load(cos + i), s = v128.load(sin + i);
    v128.store(out + i, f32x4.mul(f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)), factor));
    v128.store(out + end + i, f32x4.mul(f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)), factor));
  }
  for (; i < end; i += 4) {
    const a = load<f32>(x + i), b = load<f32>(x + end + i);
    const c = load<f32>(cos + i), s = load<f32>(sin + i);
    store<f32>(out + i, (a * c - b * s) * scale);
    store<f32>(out + end + i, (b * c + a * s) * scale);
  }
  for (i = end << 1; i < <usize>D << 2; i += 4) store<f32>(out + i, load<f32>(x + i) * scale);
}

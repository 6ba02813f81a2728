/** RMSNorm (Zhang and Sennrich): y = x / sqrt(mean(x²) + eps) · gamma. */
import { hsum } from "./math";
import { quantiseBlock } from "./quantise";

/** 1 / sqrt(mean(x²) + eps) of n f32; n % 8 == 0. */
@inline
function inverseRms(x: usize, n: i32, eps: f32): f32 {
  let a = f32x4.splat(0), b = a;
  const end = x + (<usize>n << 2);
  for (let p = x; p < end; p += 32) {
    const u = v128.load(p), v = v128.load(p, 16);
    a = f32x4.add(a, f32x4.mul(u, u));
    b = f32x4.add(b, f32x4.mul(v, v));
  }
  return <f32>1.0 / sqrt<f32>(hsum(f32x4.add(a, b)) / <f32>n + eps);
}

@inline
function scaled(x: usize, gamma: usize, r: v128): v128 {
  return f32x4.mul(f32x4.mul(v128.load(x), r), v128.load(gamma));
}

/**
 * RMSNorm of a row of K f32 (K % 32 == 0) to K f32 at outF, to a q8 row at outQ, or both; 0 for
 * neither. outF may be x.
 */
export function rmsNorm(x: usize, gamma: usize, K: i32, eps: f32, outF: usize, outQ: usize): void {
  const r = f32x4.splat(inverseRms(x, K, eps)), end = x + (<usize>K << 2);
  let scales = outQ + <usize>K;
  for (; x < end; x += 128, gamma += 128) {
    const v0 = scaled(x, gamma, r), v1 = scaled(x + 16, gamma + 16, r);
    const v2 = scaled(x + 32, gamma + 32, r), v3 = scaled(x + 48, gamma + 48, r);
    const v4 = scaled(x + 64, gamma + 64, r), v5 = scaled(x + 80, gamma + 80, r);
    const v6 = scaled(x + 96, gamma + 96, r), v7 = scaled(x + 112, gamma + 112, r);
    if (outF) {
      v128.store(outF, v0);
      v128.store(outF, v1, 16);
      v128.store(outF, v2, 32);
      v128.store(outF, v3, 48);
      v128.store(outF, v4, 64);
      v128.store(outF, v5, 80);
      v128.store(outF, v6, 96);
      v128.store(outF, v7, 112);
      outF += 128;
    }
    if (outQ) {
      quantiseBlock(v0, v1, v2, v3, v4, v5, v6, v7, outQ, scales);
      outQ += 32;
      scales += 16;
    }
  }
}

/** RMSNorm of one head's D f32 (D % 8 == 0), in place. */
export function headNorm(x: usize, gamma: usize, D: i32, eps: f32): void {
  const r = f32x4.splat(inverseRms(x, D, eps)), end = x + (<usize>D << 2);
  for (; x < end; x += 16, gamma += 16) v128.store(x, scaled(x, gamma, r));
}

/** SwiGLU (Shazeer): silu(gate) · up, with silu(g) = g / (1 + e^-g). */
import { exp } from "./math";
import { quantiseBlock } from "./quantise";

@inline
function swiglu(gate: usize, up: usize): v128 {
  const g = v128.load(gate), power = exp(f32x4.pmin(f32x4.neg(g), f32x4.splat(88)));
  return f32x4.mul(f32x4.div(g, f32x4.add(f32x4.splat(1), power)), v128.load(up));
}

/** 32 values of gate and up to the codes (32 bytes) and scales (16 bytes) of a q8 block. */
export function swigluBlock(gate: usize, up: usize, codes: usize, scales: usize): void {
  quantiseBlock(
    swiglu(gate, up),
    swiglu(gate + 16, up + 16),
    swiglu(gate + 32, up + 32),
    swiglu(gate + 48, up + 48),
    swiglu(gate + 64, up + 64),
    swiglu(gate + 80, up + 80),
    swiglu(gate + 96, up + 96),
    swiglu(gate + 112, up + 112),
    codes,
    scales,
  );
}

/** 32 values of gate and up to 32 f32; out may be either of them. */
export function swigluFloat(gate: usize, up: usize, out: usize): void {
  for (let i: usize = 0; i < 128; i += 16) v128.store(out + i, swiglu(gate + i, up + i));
}

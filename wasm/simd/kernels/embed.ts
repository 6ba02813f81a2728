// A row of a packed table as f32: the one place where weights are looked at one by one.
import {
  BF16,
  F16,
  F32,
  Q4_F2,
  Q4_H,
  Q4_HM,
  Q4_K,
  Q5_H,
  Q5_HM,
  Q5_K,
  Q6_K,
  Q8_H,
  READS_I8,
} from "../abi";

/** An f16's value; infinities and NaNs do not occur in weights. */
@inline
function half(address: usize): f32 {
  const h = <u32>load<u16>(address);
  const shifted = reinterpret<f32>((h & 0x8000) << 16 | (h & 0x7fff) << 13);
  return shifted * <f32>5192296858534827628530496329220096.0;
}

@inline
function bitsOf(kind: i32): i32 {
  return kind < Q5_H ? 4 : kind < Q6_K ? 5 : kind < Q8_H ? 6 : 8;
}

/** Code k of 32 of a row; `w` is the row's lane of its quad in the block. */
@inline
function codeAt(w: usize, bits: i32, k: i32): i32 {
  if (bits == 8) return load<u8>(w + <usize>((k >> 2) * 64 + (k & 3)));
  const j = k >> 2 & 3, high = k >> 4, at = w + <usize>(k & 3);
  const low = <i32>load<u8>(at + <usize>(64 * j)) >> (4 * high) & 15;
  if (bits == 4) return low;
  if (bits == 5) return low | (<i32>load<u8>(at + 256) >> (2 * j + high) & 1) << 4;
  return low | (<i32>load<u8>(at + <usize>(256 + 64 * high)) >> (2 * j) & 3) << 4;
}

/**
 * Row `row` of a packed table of K columns to K f32 at `out`: as the type's definition has it,
 * rounded once.
 */
export function embedRow(kind: i32, reading: i32, w: usize, K: i32, row: i32, out: usize): void {
  const lane = <usize>row & 15, group = <usize>row >> 4;
  if (kind == F32 || kind == F16 || kind == BF16) {
    return embedFloat(kind, w + group * <usize>K * (kind == F32 ? 64 : 32), lane, K, out);
  }
  const bits = bitsOf(kind), codes = <usize>(64 * bits), isK = kind == Q4_K || kind == Q5_K;
  const minima = kind == Q4_HM || kind == Q5_HM, halved = kind == Q4_F2 || kind > Q8_H + 1;
  const plain = kind == Q4_H || kind == Q5_H || kind == Q8_H, inSuper = isK || kind == Q6_K;
  const step = codes +
    (minima ? 64 : plain || inSuper ? 32 : halved ? 160 : 80);
  const behind: usize = isK ? 64 : kind == Q6_K ? 32 : 0;
  const flip = bits == 8 && reading == READS_I8 ? 128 : 0;
  // A quad's f16 pairs: four scales, four minima.
  const pair = (lane >> 2) * 16 + (lane & 3) * 2;
  let block = w + group * (<usize>(K >> 5) * step + <usize>(K >> 8) * behind);
  for (let b = 0; b < K >> 5; b++) {
    const scales = block + codes, end = block + <usize>(8 - (b & 7)) * step;
    for (let part: usize = 0; part < 2; part++) {
      let scale: f32, least: f32 = 0, zero = 1 << (bits - 1);
      if (minima) {
        scale = half(scales + pair), least = half(scales + pair + 8), zero = 0;
      } else if (plain) {
        scale = half(scales + 2 * lane);
      } else if (isK) {
        scale = half(end + pair) * <f32>load<u8>(scales + lane), zero = 0;
        least = -half(end + pair + 8) * <f32>load<u8>(scales + 16 + lane);
      } else if (kind == Q6_K) {
        scale = half(end + 2 * lane) * <f32>load<i8>(scales + 16 * part + lane);
      } else if (halved) {
        scale = load<f32>(scales + 64 * part + 4 * lane);
        zero = load<u8>(scales + 128 + 16 * part + lane);
      } else {
        scale = load<f32>(scales + 4 * lane), zero = load<u8>(scales + 64 + lane);
      }
      for (let k = 16 * <i32>part; k < 16 * <i32>part + 16; k++) {
        const q = (codeAt(block + 4 * lane, bits, k) ^ flip) - zero;
        store<f32>(out, scale * <f32>q + least);
        out += 4;
      }
    }
    block += step;
    if ((b & 7) == 7) block += behind;
  }
}

function embedFloat(kind: i32, group: usize, lane: usize, K: i32, out: usize): void {
  for (let k: usize = 0; k < <usize>K; k++) {
    let value: f32;
    if (kind == F32) value = load<f32>(group + k * 64 + lane * 4);
    else if (kind == F16) value = half(group + k * 32 + lane * 2);
    else value = reinterpret<f32>(<u32>load<u16>(group + k * 32 + lane * 2) << 16);
    store<f32>(out + k * 4, value);
  }
}

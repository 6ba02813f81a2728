// What bench/kernel_bench.ts holds the kernels against: reading alone.

/** Reads so many bytes, a multiple of 128, and returns a value that depends on all of them. */
export function readAll(address: usize, bytes: usize): i32 {
  let a = v128.load(address), b = a, c = a, d = a;
  for (const end = address + bytes; address < end; address += 128) {
    a = v128.xor(v128.xor(a, v128.load(address)), v128.load(address, 16));
    b = v128.xor(v128.xor(b, v128.load(address, 32)), v128.load(address, 48));
    c = v128.xor(v128.xor(c, v128.load(address, 64)), v128.load(address, 80));
    d = v128.xor(v128.xor(d, v128.load(address, 96)), v128.load(address, 112));
  }
  return i32x4.extract_lane(v128.xor(v128.xor(a, b), v128.xor(c, d)), 0);
}

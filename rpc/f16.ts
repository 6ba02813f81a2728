/**
 * Values of hidden rows as the bytes of a frame, f32 or f16. Both are little endian, as every platform
 * that Deno runs on.
 */

/** The largest finite f16. */
const MAX_F16 = 65504;

/** The bytes of values, not copied. */
export function bytesOf(values: Float32Array | Float16Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** The f32 values of bytes, copied only where a view needs a better aligned address. */
export function f32Of(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}

/** Rounds to the nearest f16; what is out of its range becomes its largest finite value. */
export function toF16(values: Float32Array): Float16Array {
  const halves = new Float16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    halves[i] = value > MAX_F16 ? MAX_F16 : value < -MAX_F16 ? -MAX_F16 : value;
  }
  return halves;
}

/** The f32 values of f16 bytes. */
export function fromF16(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Float32Array(
    new Float16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 2),
  );
}

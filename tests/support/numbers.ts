/** Comparisons of arrays of numbers. */

/** Index of the first of the largest values. */
export function argmax(values: Float32Array): number {
  return values.reduce((best, value, i) => value > values[best]! ? i : best, 0);
}

/** The largest difference between two arrays of one length. */
export function worstDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) throw new RangeError(`${a.length} values against ${b.length}`);
  return a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i]!)), 0);
}

/** Whether two arrays have the same bits, NaN and the sign of zero included. */
export function equalBits(a: ArrayBufferView, b: ArrayBufferView): boolean {
  const bytes = (view: ArrayBufferView) =>
    new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const others = bytes(b);
  return a.byteLength === b.byteLength && bytes(a).every((byte, i) => byte === others[i]);
}

/** ‖a - b‖ / ‖b‖; NaN where a value is. */
export function relativeError(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) throw new RangeError(`${a.length} values against ${b.length}`);
  const difference = b.reduce((sum, value, i) => sum + (a[i]! - value) ** 2, 0);
  return Math.sqrt(difference / b.reduce((sum, value) => sum + value ** 2, 0));
}

/** Half precision to single precision by table: 256 KB instead of bit tricks in every inner loop. */

let table: Float32Array | undefined;

/** The f32 value of every f16 bit pattern, 65,536 entries; made at the first call. */
export function halfTable(): Float32Array {
  table ??= Float32Array.from(
    new Float16Array(Uint16Array.from({ length: 65536 }, (_, i) => i).buffer),
  );
  return table;
}

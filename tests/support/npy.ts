/** Reads the .npy files of the oracles: float32, C order (numpy.lib.format, version 1). */

/** An array and its shape. */
export interface NpyArray {
  shape: number[];
  data: Float32Array;
}

/** Reads a float32 array. */
export async function readNpy(path: string): Promise<NpyArray> {
  const bytes = await Deno.readFile(path);
  const headerBytes = new DataView(bytes.buffer).getUint16(8, true);
  const header = new TextDecoder().decode(bytes.subarray(10, 10 + headerBytes));
  if (!header.includes("'descr': '<f4'") || !header.includes("'fortran_order': False")) {
    throw new TypeError(`Cannot read ${path}: its header is ${header}`);
  }
  const shape = /'shape': \(([^)]*)\)/.exec(header)![1]!.split(",").filter((dim) =>
    dim.trim() !== ""
  );
  return {
    shape: shape.map(Number),
    data: new Float32Array(bytes.slice(10 + headerBytes).buffer),
  };
}

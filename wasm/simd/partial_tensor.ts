/** Tensors whose shape is known and whose elements may be: what is left of a graph without its weights. */
import { product } from "./graph_view.ts";

/** A tensor; `data` is null where the elements depend on hidden rows, caches or large weights. */
export interface PartialTensor {
  dims: readonly number[];
  data: Float64Array | null;
  /** Whether its elements are whole numbers, so that a quotient is truncated. */
  integer: boolean;
}

/** Elements beyond this are not computed: masks and positions of the lengths looked at are far below. */
const MAX_ELEMENTS = 2 ** 19;

/** A tensor of known elements; they become unknown where there are too many. */
export function known(
  dims: readonly number[],
  integer: boolean,
  fill: (out: Float64Array) => void,
): PartialTensor {
  const length = product(dims);
  const sizes = dims.every((dim) => Number.isInteger(dim) && dim >= 0);
  if (!sizes || length > MAX_ELEMENTS) return unknown(dims, integer);
  const data = new Float64Array(length);
  fill(data);
  return { dims, data, integer };
}

/** A tensor of which only the shape is known. */
export function unknown(dims: readonly number[], integer = false): PartialTensor {
  return { dims, data: null, integer };
}

/** A list of whole numbers. */
export function list(values: readonly number[]): PartialTensor {
  return { dims: [values.length], data: Float64Array.from(values), integer: true };
}

/** Steps between neighbours along each dimension, in elements. */
export function strides(dims: readonly number[]): number[] {
  const out = new Array<number>(dims.length);
  let step = 1;
  for (let i = dims.length - 1; i >= 0; i--) {
    out[i] = step;
    step *= dims[i]!;
  }
  return out;
}

/** out[i, j, …] = source[offset + i·steps[0] + j·steps[1] + …]. */
export function rearranged(
  source: PartialTensor,
  dims: readonly number[],
  steps: readonly number[],
  offset = 0,
): PartialTensor {
  const { data, integer } = source;
  if (data === null) return unknown(dims, integer);
  return known(dims, integer, (out) => {
    const index = new Array<number>(dims.length).fill(0);
    let from = offset;
    for (let i = 0; i < out.length; i++) {
      out[i] = data[from]!;
      for (let axis = dims.length - 1; axis >= 0; axis--) {
        from += steps[axis]!;
        if (++index[axis]! < dims[axis]!) break;
        from -= steps[axis]! * dims[axis]!;
        index[axis] = 0;
      }
    }
  });
}

/** The shape that two shapes broadcast to; undefined where they do not. */
export function broadcast(a: readonly number[], b: readonly number[]): number[] | undefined {
  const rank = Math.max(a.length, b.length);
  const out: number[] = [];
  for (let i = 0; i < rank; i++) {
    const [x, y] = [a[i - rank + a.length] ?? 1, b[i - rank + b.length] ?? 1];
    if (x !== y && x !== 1 && y !== 1) return undefined;
    out.push(x === 1 ? y : x);
  }
  return out;
}

/** A tensor repeated along the dimensions where it has 1 element. */
export function expanded(tensor: PartialTensor, dims: readonly number[]): PartialTensor {
  const own = strides(tensor.dims);
  const steps = dims.map((_, i) => {
    const axis = i - dims.length + tensor.dims.length;
    return axis < 0 || tensor.dims[axis] === 1 ? 0 : own[axis]!;
  });
  return rearranged(tensor, dims, steps);
}

/** An axis counted from the front; undefined where there is none. */
export function axisOf(axis: number, rank: number): number | undefined {
  const from = axis < 0 ? axis + rank : axis;
  return Number.isInteger(from) && from >= 0 && from < rank ? from : undefined;
}

/** One number for each pair of elements. */
export function pairwise(
  a: PartialTensor,
  b: PartialTensor,
  integer: boolean,
  compute: (x: number, y: number) => number,
): PartialTensor | undefined {
  const dims = broadcast(a.dims, b.dims);
  if (!dims) return undefined;
  const [x, y] = [expanded(a, dims).data, expanded(b, dims).data];
  if (!x || !y) return unknown(dims, integer);
  return known(dims, integer, (out) => {
    for (let i = 0; i < out.length; i++) {
      const value = compute(x[i]!, y[i]!);
      out[i] = integer ? value : Math.fround(value);
    }
  });
}

/** One number for each element. */
export function each(
  tensor: PartialTensor,
  integer: boolean,
  compute: (x: number) => number,
): PartialTensor {
  const { dims, data } = tensor;
  return data === null
    ? unknown(dims, integer)
    : { dims, integer, data: data.map((x) => integer ? compute(x) : Math.fround(compute(x))) };
}

/**
 * The operators that exports build masks, positions and shapes of, after ONNX's specification of them
 * (https://onnx.ai/onnx/operators/). An operator gives undefined where it knows not even a shape.
 */
import {
  type NodeProto,
  type TensorProto,
  TensorProto_DataType as DataType,
} from "../gen/onnx/onnx_pb.ts";
import { intAttribute, intsAttribute, numbersOf, product } from "./graph_view.ts";
import {
  axisOf,
  broadcast,
  each,
  expanded,
  known,
  list,
  pairwise,
  type PartialTensor,
  rearranged,
  strides,
  unknown,
} from "./partial_tensor.ts";

type Result = PartialTensor | undefined;
type Operator = (inputs: readonly Result[], node: NodeProto) => Result | Result[];

const FLOATS: ReadonlySet<number> = new Set([
  DataType.FLOAT,
  DataType.FLOAT16,
  DataType.BFLOAT16,
  DataType.DOUBLE,
]);

/** Larger constants are weights. */
const MAX_CONSTANT = 2 ** 16;
/** Multiplications of a product that is computed: angles take far fewer. */
const MAX_MULTIPLICATIONS = 2 ** 22;

/** Operators by the name that `operator()` of graph_view.ts gives. */
export const OPERATORS: ReadonlyMap<string, Operator> = new Map<string, Operator>([
  ["Add", arithmetic((x, y) => x + y)],
  ["Sub", arithmetic((x, y) => x - y)],
  ["Mul", arithmetic((x, y) => x * y)],
  ["Min", arithmetic(Math.min)],
  ["Max", arithmetic(Math.max)],
  ["Pow", arithmetic(Math.pow)],
  ["Div", ([a, b]) =>
    a && b && pairwise(
      a,
      b,
      a.integer,
      a.integer ? (x, y) => Math.trunc(x / y) : (x, y) => x / y,
    )],
  ["Equal", comparison((x, y) => x === y)],
  ["Greater", comparison((x, y) => x > y)],
  ["GreaterOrEqual", comparison((x, y) => x >= y)],
  ["Less", comparison((x, y) => x < y)],
  ["LessOrEqual", comparison((x, y) => x <= y)],
  ["And", comparison((x, y) => x !== 0 && y !== 0)],
  ["Or", comparison((x, y) => x !== 0 || y !== 0)],
  ["Not", ([x]) => x && each(x, true, (value) => Number(value === 0))],
  ["IsNaN", ([x]) => x && each(x, true, (value) => Number(Number.isNaN(value)))],
  ["Neg", ([x]) => x && each(x, x.integer, (value) => -value)],
  ["Abs", ([x]) => x && each(x, x.integer, Math.abs)],
  ["Sqrt", ([x]) => x && each(x, false, Math.sqrt)],
  ["Reciprocal", ([x]) => x && each(x, false, (value) => 1 / value)],
  ["Cos", ([x]) => x && each(x, false, Math.cos)],
  ["Sin", ([x]) => x && each(x, false, Math.sin)],
  ...["Sigmoid", "Softmax", "Tanh", "Exp", "Erf"].map((name): [string, Operator] => [
    name,
    ([x]) => x && unknown(x.dims),
  ]),
  ["Identity", ([x]) => x],
  ["Cast", cast],
  ["Where", where],
  ["Shape", shape],
  ["ConstantOfShape", constantOfShape],
  ["Range", range],
  ["Reshape", reshape],
  ["Unsqueeze", unsqueeze],
  ["Squeeze", squeeze],
  ["Expand", expand],
  ["Transpose", transpose],
  ["Concat", concat],
  ["Slice", slice],
  ["Gather", gather],
  ["Trilu", trilu],
  ["ScatterND", scatter],
  ["ReduceSum", reduceSum],
  ["ReduceMean", reduceShape],
  ["MatMul", matMul],
  ["MatMulInteger", matMul],
  ["DynamicQuantizeLinear", ([x]) => [x && unknown(x.dims, true), unknown([]), unknown([], true)]],
  ["SimplifiedLayerNormalization", ([x]) => x && unknown(x.dims)],
  ["com.microsoft.MatMulNBits", packedProduct],
  ["mdi.MatMulGguf", packedProduct],
]);

/** A tensor of an attribute or an initializer; without elements where they lie elsewhere. */
export function tensorValue(tensor: TensorProto): PartialTensor {
  const dims = tensor.dims.map(Number);
  const integer = !FLOATS.has(tensor.dataType);
  const few = tensor.externalData.length === 0 && product(dims) <= MAX_CONSTANT;
  const values = few ? elements(tensor) : undefined;
  return values?.length === product(dims)
    ? known(dims, integer, (out) => out.set(values))
    : unknown(dims, integer);
}

function elements(tensor: TensorProto): readonly number[] | undefined {
  if (tensor.rawData.length > 0) return numbersOf(tensor.dataType, tensor.rawData);
  if (tensor.floatData.length > 0) return tensor.floatData;
  if (tensor.int64Data.length > 0) return tensor.int64Data.map(Number);
  // Half-precision elements are in int32_data as bits.
  return FLOATS.has(tensor.dataType) ? undefined : tensor.int32Data;
}

function arithmetic(compute: (x: number, y: number) => number): Operator {
  return ([a, b]) => a && b && pairwise(a, b, a.integer, compute);
}

function comparison(compute: (x: number, y: number) => boolean): Operator {
  return ([a, b]) => a && b && pairwise(a, b, true, (x, y) => Number(compute(x, y)));
}

function cast([x]: readonly Result[], node: NodeProto): Result {
  const to = intAttribute(node, "to", DataType.UNDEFINED);
  if (to === DataType.BOOL) return x && each(x, true, (value) => Number(value !== 0));
  return x && (FLOATS.has(to) ? each(x, false, (value) => value) : each(x, true, Math.trunc));
}

function where([condition, yes, no]: readonly Result[]): Result {
  const branches = yes && no && broadcast(yes.dims, no.dims);
  const dims = condition && branches && broadcast(condition.dims, branches);
  if (!dims) return undefined;
  const [c, x, y] = [condition, yes, no].map((tensor) => expanded(tensor, dims).data);
  if (!c || !x || !y) return unknown(dims, yes.integer);
  return known(dims, yes.integer, (out) => out.forEach((_, i) => out[i] = c[i] ? x[i]! : y[i]!));
}

function shape([x]: readonly Result[], node: NodeProto): Result {
  if (!x) return undefined;
  const end = intAttribute(node, "end", x.dims.length);
  return list(x.dims.slice(intAttribute(node, "start", 0), end));
}

function constantOfShape([dims]: readonly Result[], node: NodeProto): Result {
  const value = node.attribute.find(({ name }) => name === "value")?.t;
  const element = value ? tensorValue(value) : { data: Float64Array.of(0), integer: false };
  const fill = element.data?.[0];
  if (!dims?.data || fill === undefined) return undefined;
  return known([...dims.data], element.integer, (out) => void out.fill(fill));
}

function range([start, limit, step]: readonly Result[]): Result {
  const [from, to, by] = [start, limit, step].map((tensor) => tensor?.data?.[0]);
  if (from === undefined || to === undefined || by === undefined) return undefined;
  const count = Math.max(0, Math.ceil((to - from) / by));
  if (!Number.isFinite(count)) return undefined;
  return known([count], start!.integer, (out) => out.forEach((_, i) => out[i] = from + i * by));
}

function reshape([x, target]: readonly Result[], node: NodeProto): Result {
  if (!x || !target?.data) return undefined;
  const keepsZero = intAttribute(node, "allowzero", 0) !== 0;
  const dims = [...target.data].map((dim, i) => dim === 0 && !keepsZero ? x.dims[i] ?? 0 : dim);
  const open = dims.indexOf(-1);
  if (open >= 0) dims[open] = product(x.dims) / product(dims.toSpliced(open, 1));
  return dims.every(Number.isInteger) && product(dims) === product(x.dims)
    ? { ...x, dims }
    : undefined;
}

/** From the attribute of old versions or the input of new ones. */
function axesOf(node: NodeProto, input: Result, rank: number): number[] | undefined {
  const axes = intsAttribute(node, "axes") ?? (input?.data ? [...input.data] : undefined);
  const found = axes?.map((axis) => axisOf(axis, rank));
  return found?.every((axis) => axis !== undefined) ? found : undefined;
}

function unsqueeze([x, axesInput]: readonly Result[], node: NodeProto): Result {
  const added = intsAttribute(node, "axes")?.length ?? axesInput?.data?.length;
  const axes = x && added !== undefined && axesOf(node, axesInput, x.dims.length + added);
  if (!axes) return undefined;
  const dims = [...x.dims];
  for (const axis of axes.toSorted((a, b) => a - b)) dims.splice(axis, 0, 1);
  return { ...x, dims };
}

function squeeze([x, axesInput]: readonly Result[], node: NodeProto): Result {
  const axes = x && axesOf(node, axesInput, x.dims.length);
  if (!x || !axes?.every((axis) => x.dims[axis] === 1)) return undefined;
  return { ...x, dims: x.dims.filter((_, i) => !axes.includes(i)) };
}

function expand([x, target]: readonly Result[]): Result {
  const dims = x && target?.data ? broadcast(x.dims, [...target.data]) : undefined;
  return x && dims && expanded(x, dims);
}

function transpose([x]: readonly Result[], node: NodeProto): Result {
  if (!x) return undefined;
  const order = intsAttribute(node, "perm") ?? x.dims.map((_, i) => i).reverse();
  if (order.toSorted((a, b) => a - b).some((axis, i) => axis !== i)) return undefined;
  const own = strides(x.dims);
  return rearranged(x, order.map((axis) => x.dims[axis]!), order.map((axis) => own[axis]!));
}

function concat(inputs: readonly Result[], node: NodeProto): Result {
  const [first] = inputs;
  const axis = first && axisOf(intAttribute(node, "axis", 0), first.dims.length);
  const parts = inputs.filter((part) => part !== undefined);
  if (axis === undefined || parts.length !== inputs.length) return undefined;
  if (parts.some(({ dims }) => dims.length !== first!.dims.length)) return undefined;
  const outer = product(first!.dims.slice(0, axis));
  const fits = (dims: readonly number[]) =>
    dims.every((dim, i) => i === axis || dim === first!.dims[i]);
  if (!parts.every(({ dims }) => fits(dims))) return undefined;
  const dims = first!.dims.with(axis, parts.reduce((all, part) => all + part.dims[axis]!, 0));
  const datas = parts.map(({ data }) => data).filter((data) => data !== null);
  if (datas.length !== parts.length) return unknown(dims, first!.integer);
  return known(dims, first!.integer, (out) => {
    let at = 0;
    for (let i = 0; i < outer; i++) {
      for (const data of datas) {
        const run = data.length / outer;
        out.set(data.subarray(i * run, (i + 1) * run), at);
        at += run;
      }
    }
  });
}

function slice([x, starts, ends, axesInput, stepsInput]: readonly Result[]): Result {
  if (!x || !starts?.data || !ends?.data) return undefined;
  if (axesInput?.data === null || stepsInput?.data === null) return undefined;
  const dims = [...x.dims];
  const steps = strides(x.dims);
  let offset = 0;
  for (const [i, start] of starts.data.entries()) {
    const axis = axisOf(axesInput?.data?.[i] ?? i, dims.length);
    const step = stepsInput?.data?.[i] ?? 1;
    if (axis === undefined || step < 1) return undefined;
    const size = dims[axis]!;
    const bound = (at: number) => Math.min(size, Math.max(0, at < 0 ? at + size : at));
    const from = bound(start);
    dims[axis] = Math.max(0, Math.ceil((bound(ends.data[i]!) - from) / step));
    offset += from * steps[axis]!;
    steps[axis]! *= step;
  }
  return rearranged(x, dims, steps, offset);
}

function gather([x, indices]: readonly Result[], node: NodeProto): Result {
  const axis = x && axisOf(intAttribute(node, "axis", 0), x.dims.length);
  if (!x || !indices || axis === undefined) return undefined;
  const [outer, size] = [x.dims.slice(0, axis), x.dims[axis]!];
  const inner = x.dims.slice(axis + 1);
  const dims = [...outer, ...indices.dims, ...inner];
  const { data } = x;
  if (!data || !indices.data) return unknown(dims, x.integer);
  const run = product(inner);
  const at = [...indices.data].map((index) => axisOf(index, size));
  if (at.includes(undefined)) return undefined;
  return known(dims, x.integer, (out) => {
    let to = 0;
    for (let i = 0; i < product(outer); i++) {
      for (const index of at) {
        const from = (i * size + index!) * run;
        out.set(data.subarray(from, from + run), to);
        to += run;
      }
    }
  });
}

function trilu([x, diagonal]: readonly Result[], node: NodeProto): Result {
  const k = diagonal ? diagonal.data?.[0] : 0;
  const [rows, columns] = x?.dims.slice(-2) ?? [];
  if (!x?.data || k === undefined || rows === undefined || columns === undefined) return undefined;
  const upper = intAttribute(node, "upper", 1) !== 0;
  return {
    ...x,
    data: x.data.map((value, i) => {
      const beyond = i % columns - Math.trunc(i / columns) % rows - k;
      return (upper ? beyond >= 0 : beyond <= 0) ? value : 0;
    }),
  };
}

function scatter([x, indices, updates]: readonly Result[]): Result {
  const depth = indices?.dims.at(-1);
  if (!x || !indices?.data || depth === undefined) return undefined;
  if (!x.data || !updates?.data) return unknown(x.dims, x.integer);
  const data = x.data.slice();
  const steps = strides(x.dims);
  const run = product(x.dims.slice(depth));
  for (let i = 0; i * depth < indices.data.length; i++) {
    let at = 0;
    for (let axis = 0; axis < depth; axis++) {
      const index = axisOf(indices.data[i * depth + axis]!, x.dims[axis] ?? 0);
      if (index === undefined) return undefined;
      at += index * steps[axis]!;
    }
    data.set(updates.data.subarray(i * run, (i + 1) * run), at);
  }
  return { ...x, data };
}

/** The shape of a reduction, whose elements are not needed. */
function reduceShape([x, axesInput]: readonly Result[], node: NodeProto): Result {
  const axes = x && axesOf(node, axesInput, x.dims.length);
  if (!axes) return undefined;
  const keeps = intAttribute(node, "keepdims", 1) !== 0;
  const dims = x.dims.flatMap((dim, i) => axes.includes(i) ? (keeps ? [1] : []) : [dim]);
  return unknown(dims, x.integer);
}

/** The sum along the last dimension. */
function reduceSum(inputs: readonly Result[], node: NodeProto): Result {
  const out = reduceShape(inputs, node);
  const [x, axesInput] = inputs;
  const axes = x && axesOf(node, axesInput, x.dims.length);
  if (!out || !x?.data || axes?.join() !== `${x.dims.length - 1}`) return out;
  const { data } = x;
  const run = x.dims.at(-1)!;
  return known(out.dims, x.integer, (sums) => {
    for (let i = 0; i < data.length; i++) sums[Math.trunc(i / run)]! += data[i]!;
  });
}

function matMul([a, b]: readonly Result[]): Result {
  if (!a || !b || a.dims.length < 2 || b.dims.length < 2) return undefined;
  const [m, k] = a.dims.slice(-2) as [number, number];
  const [inner, n] = b.dims.slice(-2) as [number, number];
  const batch = broadcast(a.dims.slice(0, -2), b.dims.slice(0, -2));
  if (!batch || k !== inner) return undefined;
  const dims = [...batch, m, n];
  const x = expanded(a, [...batch, m, k]).data;
  const y = expanded(b, [...batch, k, n]).data;
  if (!x || !y || product(dims) * k > MAX_MULTIPLICATIONS) return unknown(dims);
  return known(dims, a.integer, (out) => {
    for (let i = 0; i < out.length; i++) {
      const [row, column] = [Math.trunc(i / n), i % n];
      const first = Math.trunc(row / m) * k * n + column;
      let sum = 0;
      for (let j = 0; j < k; j++) sum += x[row * k + j]! * y[first + j * n]!;
      out[i] = Math.fround(sum);
    }
  });
}

function packedProduct([x]: readonly Result[], node: NodeProto): Result {
  return x && unknown([...x.dims.slice(0, -1), intAttribute(node, "N", 0)]);
}

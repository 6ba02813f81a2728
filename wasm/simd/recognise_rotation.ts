/** Rotary embedding in its parts: x · cos + rotate_half(x) · sin, with angles made of position_ids. */
import type { NodeProto } from "../gen/onnx/onnx_pb.ts";
import type { Rope } from "./decoder.ts";
import { type GraphView, intAttribute, Mismatch } from "./graph_view.ts";
import {
  evaluateLayer,
  type Evaluation,
  largestConstant,
  type LayerRun,
  longerRun,
} from "./partial_evaluation.ts";
import type { PartialTensor } from "./partial_tensor.ts";
import { bothWays } from "./recognise_linear.ts";

/** What is rotated, and by which factors. */
export interface Rotation {
  input: string;
  cos: string;
  sin: string;
}

/** The rotation that makes a value of [1, heads, T, headDim]; undefined where none does. */
export function matchRotation(
  view: GraphView,
  value: string,
  headDim: number,
  seen: Evaluation,
): Rotation | undefined {
  const sum = view.made(value, "Add");
  if (!sum) return undefined;
  for (const [straight, crossed] of bothWays(sum)) {
    const [a, b] = [view.made(straight, "Mul"), view.made(crossed, "Mul")];
    if (!a || !b) return undefined;
    for (const [input, cos] of bothWays(a)) {
      for (const [turned, sin] of bothWays(b)) {
        const inner = rotatedHalf(view, turned, headDim, seen);
        if (inner !== undefined && inner === view.origin(input)) return { input: inner, cos, sin };
      }
    }
  }
  return undefined;
}

/** x of Concat(-(second half of x), first half of x). */
function rotatedHalf(
  view: GraphView,
  value: string,
  headDim: number,
  seen: Evaluation,
): string | undefined {
  const joined = view.made(value, "Concat");
  if (joined?.input.length !== 2 || ![-1, 3].includes(intAttribute(joined, "axis", 0))) return;
  const negated = view.made(joined.input[0]!, "Neg");
  if (!negated) return undefined;
  const half = headDim / 2;
  const second = part(view, negated.input[0]!, [half, headDim], seen);
  const first = part(view, joined.input[1]!, [0, half], seen);
  return first === second ? first : undefined;
}

/** x of the values from … to of the last dimension of x. */
function part(
  view: GraphView,
  value: string,
  [from, to]: readonly [number, number],
  seen: Evaluation,
): string | undefined {
  const node = view.made(value, "Slice", "Split");
  if (!node) return undefined;
  const whole = view.origin(node.input[0]!);
  const dims = seen.get(whole)?.dims;
  const partDims = seen.get(view.origin(value))?.dims;
  if (dims?.length !== 4 || dims[3] !== to - from + (from === 0 ? to : from)) return undefined;
  if (partDims?.join() !== dims.with(3, to - from).join()) return undefined;
  const start = node.opType === "Split"
    ? node.output.indexOf(view.origin(value)) * (to - from)
    : sliceStart(node, dims[3], seen);
  return start === from ? whole : undefined;
}

function sliceStart(node: NodeProto, size: number, seen: Evaluation): number | undefined {
  const start = seen.get(node.input[1]!)?.data?.[0];
  return start !== undefined && start < 0 ? start + size : start;
}

/** What Cos is taken of, on the way to a value. */
function angleOf(view: GraphView, value: string): string | undefined {
  const open = [value];
  const visited = new Set<string>();
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const node = visited.has(next) ? undefined : view.nodeOf(next);
    visited.add(next);
    if (node?.opType === "Cos") return node.input[0];
    open.push(...node?.input ?? []);
  }
  return undefined;
}

/** Positions at which angles are compared: a change of the frequencies at a length would show. */
const POSITIONS = [0, 1, 7, 4097, 131_071];

/**
 * The frequencies that a rotation's factors are made of.
 * @throws {Mismatch} where a factor is anything but scale · cos(position · frequency).
 */
export function rotationRope(view: GraphView, { cos, sin }: Rotation, run: LayerRun): Rope {
  const values = evaluateLayer(view, { ...run, positions: POSITIONS });
  const longest = Math.max(...[cos, sin].map((value) => largestConstant(view, value, values)));
  const longer = longerRun(run, longest);
  const angles = values.get(angleOf(view, cos) ?? "");
  const rows = POSITIONS.length;
  const half = run.headDim / 2;
  const width = angles?.dims.at(-1);
  if (!angles?.data || angles.data.length !== rows * width! || ![half, 2 * half].includes(width!)) {
    throw new Mismatch("rotates by angles that do not follow from positions alone");
  }
  const frequencies = Float32Array.from(angles.data.subarray(width!, width! + half));
  const scale = values.get(cos)?.data?.[0] ?? NaN;
  const holds = (tensor: PartialTensor | undefined, wave: (angle: number) => number) =>
    tensor?.data?.length === rows * 2 * half &&
    tensor.dims.slice(-2).join() === [rows, 2 * half].join() &&
    tensor.data.every((value, i) => {
      const angle = Math.fround(
        POSITIONS[Math.trunc(i / (2 * half))]! * frequencies[i % half]!,
      );
      return Math.abs(value - scale * wave(angle)) <= 1e-6 * Math.abs(scale);
    });
  const runs = longer
    ? [values, evaluateLayer(view, { ...longer, positions: POSITIONS })]
    : [values];
  const everywhere = runs.every((each) =>
    holds(each.get(cos), Math.cos) && holds(each.get(sin), Math.sin)
  );
  if (!(scale > 0) || !everywhere) {
    throw new Mismatch("rotates by something other than position · frequency");
  }
  return {
    type: "frequencies",
    half,
    frequencies: { length: half, dtype: "f32", source: new Uint8Array(frequencies.buffer) },
    scale,
  };
}

/**
 * Gives GroupQueryAttention its two lengths from outside. Graphs compute them from attention_mask, through
 * a Cast. In ONNX Runtime's WebAssembly build Cast is one function of half a megabyte, and V8 takes more
 * than 100 MB and a second to optimise it, in the middle of the first prompt. A session of mdi runs one
 * sample without padding, so both lengths are known before it runs.
 */
import { create } from "@bufbuild/protobuf";
import {
  type GraphProto,
  type ModelProto,
  type NodeProto,
  TensorProto_DataType,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "../gen/onnx/onnx_pb.ts";

/** Name of the input INT32 [1]: cached tokens after the run, less one. */
export const SEQLENS_K = "seqlens_k";
/** Name of the input INT32 []: cached tokens after the run. */
export const TOTAL_SEQUENCE_LENGTH = "total_sequence_length";

const MASK = "attention_mask";
/** Where the operator has them, after its specification. */
const SEQLENS_K_INPUT = 5;
const TOTAL_SEQUENCE_LENGTH_INPUT = 6;

/** Rewrites a joined graph (see join.ts) where its lengths are made from attention_mask alone. */
export function liftSequenceLengths(model: ModelProto): void {
  const graph = model.graph!;
  const producers = new Map(
    graph.node.flatMap((node) => node.output.map((value) => [value, node] as const)),
  );
  const constants = new Set(graph.initializer.map(({ name }) => name));
  const lifted = new Set<string>();
  for (const node of graph.node) {
    if (node.domain !== "com.microsoft" || node.opType !== "GroupQueryAttention") continue;
    for (
      const [index, name] of [
        [SEQLENS_K_INPUT, SEQLENS_K],
        [TOTAL_SEQUENCE_LENGTH_INPUT, TOTAL_SEQUENCE_LENGTH],
      ] as const
    ) {
      if (!fromMaskAlone(node.input[index] ?? "", producers, constants)) continue;
      node.input[index] = name;
      lifted.add(name);
    }
  }
  if (lifted.size === 0) return;
  removeUnused(graph);
  if (lifted.has(SEQLENS_K)) graph.input.push(int32Input(SEQLENS_K, [1]));
  if (lifted.has(TOTAL_SEQUENCE_LENGTH)) graph.input.push(int32Input(TOTAL_SEQUENCE_LENGTH, []));
}

function fromMaskAlone(
  value: string,
  producers: ReadonlyMap<string, NodeProto>,
  constants: ReadonlySet<string>,
): boolean {
  const open = [value];
  const seen = new Set<string>();
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (next === MASK || constants.has(next) || seen.has(next)) continue;
    const producer = producers.get(next);
    if (!producer) return false;
    seen.add(next);
    open.push(...producer.input.filter((input) => input !== ""));
  }
  return true;
}

/** Removes the nodes that nothing needs any more, and the mask where none is left that reads it. */
function removeUnused(graph: GraphProto): void {
  const needed = new Set(graph.output.map(({ name }) => name));
  // Nodes are in the order of their dependencies.
  graph.node = graph.node.reverse().filter((node) => {
    if (!node.output.some((value) => needed.has(value))) return false;
    for (const input of node.input) needed.add(input);
    return true;
  }).reverse();
  graph.input = graph.input.filter(({ name }) => name !== MASK || needed.has(name));
}

function int32Input(name: string, dims: readonly number[]): ValueInfoProto {
  return create(ValueInfoProtoSchema, {
    name,
    type: {
      value: {
        case: "tensorType",
        value: {
          elemType: TensorProto_DataType.INT32,
          shape: {
            dim: dims.map((dim) => ({ value: { case: "dimValue" as const, value: BigInt(dim) } })),
          },
        },
      },
    },
  });
}

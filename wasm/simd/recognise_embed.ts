/** The embed block: token ids to rows of a table, in the forms that exports and the emitter write it. */
import type { NodeProto } from "../gen/onnx/onnx_pb.ts";
import type { DecoderEmbed, Matrix } from "./decoder.ts";
import { type GraphView, intAttribute, Mismatch, operator } from "./graph_view.ts";
import { floatMatrix, ggufMatrix, int8Matrix, nBitsMatrix } from "./recognise_linear.ts";

const IDS = "input_ids";

/**
 * Recognises the embed block.
 * @throws {Mismatch}
 */
export function recogniseEmbed(view: GraphView): DecoderEmbed {
  const node = view.producer("hidden_out");
  if (!node) throw new Mismatch("makes nothing of its token ids");
  const table = tableOf(view, node);
  if (table.k % 32 !== 0) {
    throw new Mismatch(`has rows of ${table.k} values, which is no multiple of 32`);
  }
  return { kind: "embed", table };
}

function tableOf(view: GraphView, node: NodeProto): Matrix {
  const [data = "", ids = "", scales = "", zeroPoints = ""] = node.input;
  switch (operator(node)) {
    case "mdi.GatherGguf":
      if (ids === IDS) return ggufMatrix(view, node, data);
      break;
    case "Gather": {
      if (ids !== IDS || intAttribute(node, "axis", 0) !== 0) break;
      const dequantised = view.made(data, "DequantizeLinear");
      const table = dequantised
        ? dequantisedTable(view, dequantised, dequantised.input[0]!)
        : floatMatrix(view, data, false);
      if (table) return table;
      break;
    }
    case "DequantizeLinear": {
      const gathered = view.made(data, "Gather");
      if (gathered?.input[1] !== IDS || intAttribute(gathered, "axis", 0) !== 0) break;
      const table = dequantisedTable(view, node, gathered.input[0]!);
      // A scale for each row would be gathered, too.
      if (table.form.type === "int8" && !table.form.perRow) return table;
      break;
    }
    case "com.microsoft.GatherBlockQuantized":
      if (ids === IDS) return blockTable(view, node, [data, scales, zeroPoints]);
      break;
    default:
      throw new Mismatch(`makes its hidden rows with ${operator(node)}, not of a table alone`);
  }
  throw new Mismatch("has a table of embeddings that is not a constant [vocabulary, width]");
}

function dequantisedTable(view: GraphView, node: NodeProto, codes: string): Matrix {
  const axis = intAttribute(node, "axis", 1);
  const table = int8Matrix(view, false, [codes, node.input[1] ?? "", node.input[2] ?? ""]);
  if (table.form.type === "int8" && table.form.perRow && axis !== 0) {
    throw new Mismatch("has a scale for each column of its embeddings");
  }
  return table;
}

function blockTable(view: GraphView, node: NodeProto, parts: readonly string[]): Matrix {
  const bits = intAttribute(node, "bits", 4);
  const block = intAttribute(node, "block_size", 128);
  const reshaped = view.made(parts[0]!, "Reshape");
  const codes = reshaped ? reshaped.input[0]! : parts[0]!;
  const scales = view.floats(parts[1]!);
  if (
    intAttribute(node, "gather_axis", 0) !== 0 || intAttribute(node, "quantize_axis", 1) !== 1 ||
    scales?.dims.length !== 2
  ) {
    throw new Mismatch("has embeddings quantised along another dimension");
  }
  const [n, runs] = scales.dims as [number, number];
  return nBitsMatrix(view, { n, k: runs * block, bits, block }, [codes, ...parts.slice(1)]);
}

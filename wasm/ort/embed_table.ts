/**
 * Embedding rows straight from a table in GGUF tensor types. An embedding is a look-up: expanding the
 * table for ONNX Runtime would cost vocab · d_model · 4 bytes for one row a token.
 */
import type { OpenBlocks } from "../block_file.ts";
import { tensorLocation } from "../block.ts";
import { MdiError } from "../error.ts";
import { dequantiseRow } from "../gguf/dequantise.ts";
import { rowBytes } from "../gguf/types.ts";
import { attribute, ggufType } from "./weights.ts";

/** A table and the function that reads it. */
export interface EmbedTable {
  /** Bytes resident. */
  bytes: number;
  /** Token ids -> hidden rows [ids, d_model]. */
  embed(ids: Int32Array): Float32Array;
}

/** Loads the embed block where it is one GatherGguf; undefined where it is any other graph. */
export async function loadEmbedTable(
  blocks: OpenBlocks,
  dModel: number,
): Promise<EmbedTable | undefined> {
  const graph = blocks.header("embed").model.graph!;
  const [node] = graph.node;
  if (graph.node.length !== 1 || node?.domain !== "mdi" || node.opType !== "GatherGguf") {
    return undefined;
  }
  const tensor = graph.initializer.find((candidate) => candidate.name === node.input[0]);
  const place = tensor && tensorLocation(tensor);
  const bytes = place
    ? await blocks.read({ ...place, block: place.block === "self" ? "embed" : place.block })
    : tensor?.rawData;
  const type = ggufType(node);
  const k = attribute(node, "K");
  const n = attribute(node, "N");
  const stride = rowBytes(type, k);
  if (!bytes || bytes.length !== n * stride || k !== dModel) {
    throw new MdiError(
      "model_corrupt",
      `Cannot load the embedding: ${bytes?.length ?? 0} bytes for ${n} rows of ${k} in ${type}`,
    );
  }
  return {
    bytes: bytes.length,
    embed(ids) {
      const out = new Float32Array(ids.length * k);
      for (let i = 0; i < ids.length; i++) {
        const id = ids[i]!;
        if (id < 0 || id >= n) {
          throw new RangeError(`Cannot embed token id ${id}: the vocabulary has ${n}`);
        }
        dequantiseRow(type, bytes, id * stride, k, out, i * k);
      }
      return out;
    },
  };
}

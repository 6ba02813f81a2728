/**
 * Embedding rows straight from a table in GGUF tensor types. An embedding is a look-up: expanding the
 * table for ONNX Runtime would cost vocab · d_model · 4 bytes for one row a token.
 */
import type { OpenBlocks } from "../block_file.ts";
import { tensorLocation } from "../block.ts";
import { MdiError } from "../error.ts";
import { dequantiseRow } from "../gguf/dequantise.ts";
import { type GgufType, rowBytes } from "../gguf/types.ts";
import { PageBuffer } from "../page_buffer.ts";
import { attribute, ggufType } from "./node_attributes.ts";

/** A table and the function that reads it. Disposing frees it. */
export interface EmbedTable extends Disposable {
  /** Token ids -> hidden rows [ids, d_model]. */
  embed(ids: Int32Array): Float32Array;
}

/** A table that can be loaded. */
export interface EmbedTablePlan {
  /** Bytes resident. */
  bytes: number;
  /** Reads it. */
  load(): Promise<EmbedTable>;
}

/**
 * Looks at the embed block; undefined where it is anything but one GatherGguf.
 * @throws {MdiError} model_corrupt, model_unsupported
 */
export function planEmbedTable(blocks: OpenBlocks, dModel: number): EmbedTablePlan | undefined {
  const graph = blocks.header("embed").model.graph!;
  const [node] = graph.node;
  if (graph.node.length !== 1 || node?.domain !== "mdi" || node.opType !== "GatherGguf") {
    return undefined;
  }
  const tensor = graph.initializer.find((candidate) => candidate.name === node.input[0]);
  const place = tensor && tensorLocation(tensor);
  const source = place
    ? { ...place, block: place.block === "self" ? "embed" : place.block }
    : tensor?.rawData ?? new Uint8Array(0);
  const type = ggufType(node);
  const k = attribute(node, "K");
  const n = attribute(node, "N");
  if (source.length !== n * rowBytes(type, k) || k !== dModel) {
    throw new MdiError(
      "model_corrupt",
      `Cannot load the embedding: ${source.length} bytes for ${n} rows of ${k} in ${type}`,
    );
  }
  return {
    bytes: source.length,
    async load() {
      using memory = new DisposableStack();
      const pages = memory.use(new PageBuffer(source.length));
      const bytes = pages.bytes(0, source.length);
      await blocks.read(source, bytes);
      memory.move();
      return new GgufTable(pages, bytes, type, n, k);
    },
  };
}

class GgufTable implements EmbedTable {
  readonly #pages: PageBuffer;
  readonly #bytes: Uint8Array;
  readonly #type: GgufType;
  readonly #n: number;
  readonly #k: number;

  constructor(pages: PageBuffer, bytes: Uint8Array, type: GgufType, n: number, k: number) {
    this.#pages = pages;
    this.#bytes = bytes;
    this.#type = type;
    this.#n = n;
    this.#k = k;
  }

  embed(ids: Int32Array): Float32Array {
    const k = this.#k;
    const stride = rowBytes(this.#type, k);
    const out = new Float32Array(ids.length * k);
    for (const [i, id] of ids.entries()) {
      if (id < 0 || id >= this.#n) {
        throw new RangeError(`Cannot embed token id ${id}: the vocabulary has ${this.#n}`);
      }
      dequantiseRow(this.#type, this.#bytes, id * stride, k, out, i * k);
    }
    return out;
  }

  [Symbol.dispose](): void {
    this.#pages[Symbol.dispose]();
  }
}

/**
 * Where a block reads a shape whose tensor lies in another block. Masks and positions are built from
 * the shapes of the ids, of the embeddings or of layer 0's cache; a block has tensors of the same
 * shape of its own.
 */
import type { DecoderInterface } from "./decoder_interface.ts";
import type { CutEdge } from "./find_edges.ts";
import { declaredShape, type Graph } from "./graph.ts";

/** Which of a block's own inputs has the shape that a Shape node asks for. */
export type ShapeSource =
  /** That of the hidden rows, [1,T,d]. */
  | "hidden"
  /** The first two dimensions of the hidden rows: those of the ids, [1,T]. */
  | "ids"
  /** That of the layer's own cache, [1,KV,P,D]. */
  | "past";

/** Tells which values have the shape of a block's inputs. */
export class ShapeSources {
  readonly #graph: Graph;
  readonly #hidden: ReadonlySet<string>;
  readonly #hiddenShape: string | undefined;
  readonly #past: ReadonlySet<string>;

  /** For a graph and its edges. */
  constructor(graph: Graph, io: DecoderInterface, edges: readonly CutEdge[]) {
    this.#graph = graph;
    const crossing = edges.flatMap((edge) => edge.values);
    this.#hidden = new Set(crossing.map((value) => this.#origin(value)));
    this.#hiddenShape = crossing.map((value) => this.#shape(value)).find((shape) => shape);
    this.#past = new Set(io.caches.flatMap(({ past }) => [past.key, past.value]));
  }

  /** The input with the shape of a value; undefined where no input of a block is known to have it. */
  of(value: string): ShapeSource | undefined {
    const origin = this.#origin(value);
    if (this.#hidden.has(origin)) return "hidden";
    if (origin === "input_ids") return "ids";
    if (this.#past.has(origin)) return "past";
    const shape = this.#shape(value);
    return shape !== undefined && shape === this.#hiddenShape ? "hidden" : undefined;
  }

  #shape(value: string): string | undefined {
    return declaredShape(this.#graph, value)?.join();
  }

  /** Steps back over nodes that keep the shape. */
  #origin(value: string): string {
    for (;;) {
      const node = this.#graph.producers.get(value);
      if (!node || (node.opType !== "Cast" && node.opType !== "Identity")) return value;
      value = node.input[0]!;
    }
  }
}

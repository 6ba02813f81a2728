/**
 * Dominators of a directed acyclic graph: a is a dominator of b where every path from the source to b
 * passes a. In topological order one pass suffices (Cooper, Harvey and Kennedy, "A simple, fast
 * dominance algorithm", 2001): the immediate dominator of a vertex is the deepest common ancestor, in
 * the tree of dominators, of its predecessors.
 */
export class DominatorTree<Vertex> {
  readonly #parent = new Map<Vertex, Vertex | null>();
  readonly #depth = new Map<Vertex, number>();

  /** A tree of the source alone. */
  constructor(source: Vertex) {
    this.#parent.set(source, null);
    this.#depth.set(source, 0);
  }

  /** Whether a path leads from the source to the vertex. */
  has(vertex: Vertex): boolean {
    return this.#parent.has(vertex);
  }

  /** Adds a vertex after all of its predecessors, of which at least one must be in the tree. */
  add(vertex: Vertex, predecessors: readonly Vertex[]): void {
    const parent = predecessors.reduce((a, b) => this.common(a, b));
    this.#parent.set(vertex, parent);
    this.#depth.set(vertex, this.#depth.get(parent)! + 1);
  }

  /** The deepest vertex that dominates both (a vertex dominates itself). */
  common(a: Vertex, b: Vertex): Vertex {
    while (a !== b) {
      if (this.#depth.get(a)! < this.#depth.get(b)!) b = this.#parent.get(b)!;
      else a = this.#parent.get(a)!;
    }
    return a;
  }

  /** The vertex and its dominators, from the vertex up to the source. */
  *chain(vertex: Vertex): Generator<Vertex> {
    for (let at: Vertex | null = vertex; at !== null; at = this.#parent.get(at) ?? null) yield at;
  }
}

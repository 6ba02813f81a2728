/** The plan: which node runs which layers. Plain data. */

/** One node's part. */
export interface PlanNode {
  /** The node's name for people. */
  name: string;
  /** First and last layer, inclusive and counted from 0; null where it holds none. */
  layers: readonly [number, number] | null;
}

/** A split of a model over a ring. */
export interface Plan {
  /** In the order of the ring; the first is the starter. */
  nodes: PlanNode[];
}

/** Gives each node its number of consecutive layers. */
export function planFromCounts(names: readonly string[], counts: readonly number[]): Plan {
  let first = 0;
  const nodes = names.map((name, i): PlanNode => {
    const count = counts[i] ?? 0;
    const start = first;
    first += count;
    return { name, layers: count > 0 ? [start, first - 1] : null };
  });
  return { nodes };
}

/** A node's layers in words: "layers 0-9", "layer 3", "no layers". */
export function layersText(layers: readonly [number, number] | null): string {
  if (layers === null) return "no layers";
  const [first, last] = layers;
  return first === last ? `layer ${first}` : `layers ${first}-${last}`;
}

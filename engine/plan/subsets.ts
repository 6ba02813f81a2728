/** Which nodes may make up a ring: all sets where there are few nodes, chains of sets where there are many. */
import { MAX_RING_NODES } from "../ring/message.ts";
import { leastLayers } from "./counts.ts";
import { EXACT_NODES, type RowSearch } from "./search.ts";

/**
 * Sets of nodes for each size, index 0 for the starter alone; of a size, the one that comes first in the given
 * order is first.
 *
 * A size that no ring can have has no sets. Up to {@linkcode EXACT_NODES} nodes these are all sets. Beyond, nodes are taken out one by one, by three rules: the one
 * without which the ring is fastest; the slowest; the one with room for the fewest layers.
 *
 * @param searches Tell how fast a ring is, each with its own rows a frame.
 * @param room Layers that each node's memory holds; a node without room for its least is in no set.
 * @param pinned A node that every set has.
 */
export function ringSets(
  searches: readonly RowSearch[],
  room: readonly number[],
  pinned = 0,
): (readonly number[])[][] {
  const usable = room.flatMap((layers, node) => layers >= leastLayers(node) ? [node] : []);
  if (!usable.includes(0) || !usable.includes(pinned)) return [];
  const sizes: (readonly number[])[][] = usable.map(() => []);
  const add = (nodes: readonly number[]) => {
    if (nodes.length <= MAX_RING_NODES) sizes[nodes.length - 1]!.push(nodes);
  };
  if (room.length <= EXACT_NODES) {
    allSets(usable).filter((nodes) => nodes.includes(pinned)).forEach(add);
    return sizes;
  }
  const seen = new Set<string>();
  for (const search of asked(searches)) {
    const { layerMs } = search.frame;
    const rules: ((nodes: readonly number[], left: number) => number)[] = [
      (nodes) => search.leastMs([search.ringSet(nodes)]),
      (_, left) => -layerMs[left]!,
      (_, left) => room[left]!,
    ];
    for (const rule of rules) {
      for (const nodes of chain(usable, pinned, layerMs, rule)) {
        const key = nodes.join();
        if (!seen.has(key)) add(nodes);
        seen.add(key);
      }
    }
  }
  return sizes;
}

/** All sets with the starter, those that begin with the first nodes first. */
function allSets(usable: readonly number[]): number[][] {
  const sets: number[][] = [];
  const extend = (set: readonly number[], next: number) => {
    sets.push([...set]);
    for (let i = next; i < usable.length; i++) extend([...set, usable[i]!], i + 1);
  };
  extend([0], 1);
  return sets;
}

/** The fewest rows a frame, the most, and some between: who is fast may depend on them. */
function asked(searches: readonly RowSearch[]): Set<RowSearch> {
  const last = searches.length - 1;
  return new Set([0, last >> 1, last].map((at) => searches[at]!));
}

/** The whole set, then one fewer each: without the node that has the least score, of equals the slowest, the last. */
function* chain(
  usable: readonly number[],
  pinned: number,
  layerMs: readonly number[],
  score: (without: readonly number[], left: number) => number,
): Generator<readonly number[]> {
  let nodes = usable;
  yield nodes;
  while (nodes.some((node) => node !== 0 && node !== pinned)) {
    let best = { score: Infinity, left: -1 };
    for (const left of nodes) {
      if (left === 0 || left === pinned) continue;
      const each = score(nodes.filter((node) => node !== left), left);
      const slower = best.left < 0 || layerMs[left]! >= layerMs[best.left]!;
      if (each < best.score || (each === best.score && slower)) best = { score: each, left };
    }
    nodes = nodes.filter((node) => node !== best.left);
    yield nodes;
  }
}

/**
 * Orders of a ring: which way round takes least. Nodes are indexes, 0 is the starter, and a way is the sum of the
 * links' milliseconds; a link that may not be used is Infinity.
 */

/** Milliseconds from node to node. */
export type LinkMs = readonly (readonly number[])[];

/** In sums, a link that may not be used: longer than any way, and still a number. */
const NO_LINK_MS = 1e12;

/** Finds ways round a set of secondaries. */
export interface Tours {
  /** Least milliseconds of a way from the starter through all of them and back; Infinity where there is none. */
  leastMs(secondaries: readonly number[]): number;
  /** A way of at most `budgetMs`, or of the least: of several the one nearest to the given order. */
  order(secondaries: readonly number[], budgetMs: number): number[];
}

/**
 * All orders of all subsets, exactly, by dynamic programming over what is left to visit: Held and Karp, "A Dynamic
 * Programming Approach to Sequencing Problems" (1962), here from the end of the way, so that orders can be
 * read from its start. Takes 2^(n-1) · n² steps.
 */
export function exactTours(links: LinkMs): Tours {
  const n = links.length;
  // rest[set * n + at]: least milliseconds from `at` through all of `set` and back to the starter.
  const rest = new Float64Array(2 ** (n - 1) * n).fill(Infinity);
  for (let at = 0; at < n; at++) rest[at] = at === 0 ? 0 : links[at]![0]!;
  for (let set = 1; set < 2 ** (n - 1); set++) {
    for (let at = 0; at < n; at++) {
      if (at > 0 && set & bit(at)) continue;
      let least = Infinity;
      for (let next = 1; next < n; next++) {
        if (!(set & bit(next))) continue;
        least = Math.min(least, links[at]![next]! + rest[(set ^ bit(next)) * n + next]!);
      }
      rest[set * n + at] = least;
    }
  }
  const setOf = (secondaries: readonly number[]) =>
    secondaries.reduce((set, node) => set | bit(node), 0);
  const leastMs = (secondaries: readonly number[]) => rest[setOf(secondaries) * n]!;
  return {
    leastMs,
    order(secondaries, budgetMs) {
      const inOrder = secondaries.toSorted((a, b) => a - b);
      // Sums are added in another order than the budget's own.
      const most = Math.max(budgetMs, leastMs(secondaries)) * (1 + 1e-12);
      let set = setOf(secondaries);
      let gone = 0;
      const order = [0];
      while (set) {
        const at = order.at(-1)!;
        const next = inOrder.find((node) =>
          set & bit(node) &&
          gone + links[at]![node]! + rest[(set ^ bit(node)) * n + node]! <= most
        );
        if (next === undefined) throw new RangeError(`Cannot order ${secondaries}: no way round`);
        gone += links[at]![next]!;
        set ^= bit(next);
        order.push(next);
      }
      return order;
    },
  };
}

function bit(node: number): number {
  return 1 << (node - 1);
}

/**
 * A good order where there are too many to try them all: the given one and the nearest neighbour's, each bettered
 * by turning round parts of the way (2-opt) until none helps; the given one where neither is better.
 */
export function heuristicTours(links: LinkMs): Tours {
  const known = new Map<string, { ms: number; order: number[] }>();
  const find = (secondaries: readonly number[]) => {
    const given = secondaries.toSorted((a, b) => a - b);
    const key = given.join();
    const before = known.get(key);
    if (before) return before;
    const first = bettered(links, [0, ...given]);
    const second = bettered(links, nearest(links, given));
    const found = second.ms < first.ms ? second : first;
    known.set(key, found);
    return found;
  };
  return {
    leastMs: (secondaries) => find(secondaries).ms,
    order: (secondaries) => find(secondaries).order,
  };
}

function nearest(links: LinkMs, secondaries: readonly number[]): number[] {
  const left = new Set(secondaries);
  const order = [0];
  while (left.size > 0) {
    const from = links[order.at(-1)!]!;
    const next = [...left].reduce((best, node) => from[node]! < from[best]! ? node : best);
    left.delete(next);
    order.push(next);
  }
  return order;
}

/** 2-opt. What a turn saves is seen from the sums along the way, forwards and backwards. */
function bettered(links: LinkMs, start: number[]): { ms: number; order: number[] } {
  let best = { ms: lengthOf(links, start), order: start };
  let turn = firstTurn(links, start, 1, 2);
  while (turn) {
    const [from, to] = turn;
    const { order } = best;
    const turned = [
      ...order.slice(0, from),
      ...order.slice(from, to + 1).reverse(),
      ...order.slice(to + 1),
    ];
    const ms = lengthOf(links, turned);
    // By more than rounding, so that it ends.
    if (ms < best.ms * (1 - 1e-9)) {
      best = { ms, order: turned };
      turn = firstTurn(links, turned, 1, 2);
    } else turn = firstTurn(links, order, from, to + 1);
  }
  return best;
}

/** The next part of the way, from places `from` and `to` on, that is better turned round. */
function firstTurn(
  links: LinkMs,
  order: readonly number[],
  from: number,
  to: number,
): [number, number] | undefined {
  const n = order.length;
  const ms = (a: number, b: number) => Math.min(NO_LINK_MS, links[order[a]!]![order[b % n]!]!);
  const there = [0];
  const back = [0];
  for (let at = 0; at < n - 1; at++) {
    there.push(there[at]! + ms(at, at + 1));
    back.push(back[at]! + ms(at + 1, at));
  }
  for (; from < n - 1; from++, to = from + 1) {
    for (; to < n; to++) {
      const before = ms(from - 1, from) + there[to]! - there[from]! + ms(to, to + 1);
      const after = ms(from - 1, to) + back[to]! - back[from]! + ms(from, to + 1);
      if (after < before) return [from, to];
    }
  }
  return undefined;
}

/** Milliseconds of a way and back to its start; nothing for a ring of one. */
function lengthOf(links: LinkMs, order: readonly number[]): number {
  if (order.length < 2) return 0;
  return order.reduce((ms, node, at) => ms + links[node]![order[(at + 1) % order.length]!]!, 0);
}

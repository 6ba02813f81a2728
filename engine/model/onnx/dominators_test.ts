import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { DominatorTree } from "./dominators.ts";

/** Random directed acyclic graphs: vertex i > 0 has predecessors below i. */
const dag = fc.array(fc.array(fc.nat(), { minLength: 1, maxLength: 3 }), { maxLength: 12 })
  .map((rows) => rows.map((row, i) => [...new Set(row.map((n) => n % (i + 1)))]));

/** By definition: what is on every path to a vertex. */
function dominatorsOf(vertex: number, predecessors: readonly number[][]): Set<number> {
  if (vertex === 0) return new Set([0]);
  const sets = predecessors[vertex - 1]!.map((from) => dominatorsOf(from, predecessors));
  return sets.reduce((a, b) => a.intersection(b)).union(new Set([vertex]));
}

Deno.test("DominatorTree gives exactly the vertices on every path", () => {
  fc.assert(fc.property(dag, (predecessors) => {
    const tree = new DominatorTree(0);
    predecessors.forEach((from, i) => tree.add(i + 1, from));
    for (let vertex = 0; vertex <= predecessors.length; vertex++) {
      assertEquals(new Set(tree.chain(vertex)), dominatorsOf(vertex, predecessors));
    }
  }));
});

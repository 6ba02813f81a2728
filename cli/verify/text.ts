/** What `mdi verify` tells people of a ring, and what to do where its tokens are not the golden ones. */
import type { NodeSummary } from "../../rpc/summary.ts";
import { plural } from "../table.ts";
import { CLEAR_MARGIN, type Comparison, type Difference } from "./compare.ts";

/** A ring that was verified. */
export interface VerifiedRing {
  /** Its nodes in order, this device first. */
  nodes: readonly Pick<NodeSummary, "name" | "backend" | "backendReason">[];
  /** Its secondaries as they were given, to name them in what to type next. */
  peers: readonly string[];
  /** Layers of the model. */
  layers: number;
  /** What came of it. */
  comparison: Comparison;
  /** Why its tokens may differ from one node's. */
  deviations: readonly string[];
}

/** The nodes that do not compute on simd, for which equal bits are not promised. */
export function inexactNodes(
  nodes: VerifiedRing["nodes"],
): Pick<NodeSummary, "name" | "backend" | "backendReason">[] {
  return nodes.filter(({ backend }) => backend !== "simd");
}

/** The result in a line, and where tokens differ a line each. */
export function resultText({ nodes, comparison }: VerifiedRing): string {
  const { tokens, equal, differences, unclear } = comparison;
  const names = nodes.map(({ name }) => name).join(", ");
  const where = nodes.length === 1 ? `on ${names} alone` : `on ${nodes.length} nodes (${names})`;
  const count = equal === tokens
    ? `all ${tokens} tokens equal`
    : `${equal} of ${tokens} tokens equal`;
  const lines = [`${count} ${where}`];
  for (const { name, backendReason } of inexactNodes(nodes)) {
    const why = backendReason === null ? "" : ` (${backendReason})`;
    lines.push(
      `${name} computes on ort${why}, which rounds differently: equal tokens are not promised, and a token counts as different only where the margin is ${CLEAR_MARGIN} or more`,
    );
  }
  for (const each of unclear) {
    lines.push(`${differenceText(each)}, too small a margin to tell; no later token is compared`);
  }
  for (const each of differences) lines.push(`DIFFERENT: ${differenceText(each)}`);
  return lines.join("\n");
}

function differenceText({ prompt, of, token, expected, got, margin }: Difference): string {
  const what = of === "prompt" ? `prompt "${prompt}" itself` : `answer to "${prompt}"`;
  const size = margin === null ? "" : ` (margin ${margin.toFixed(2)})`;
  return `${what}: token ${token} is ${got ?? "missing"} instead of ${
    expected ?? "the end"
  }${size}`;
}

/** What to do where a ring's tokens differ. */
export function adviceText(ring: VerifiedRing): string {
  if (ring.comparison.differences.some(({ of }) => of === "prompt")) {
    return 'the tokenizer of the stored model is damaged: run "mdi store verify", then again';
  }
  const causes = [
    ...ring.deviations,
    '"mdi store verify" finds damaged weights; "mdi doctor" tells of heat and under-voltage',
    "take back overclocking; wrong memory (memtester) or a wrong processor is left otherwise",
  ];
  if (ring.nodes.length === 1) return `on this device: ${causes.join("; ")}`;
  const each = ring.peers.map((peer) => `mdi verify --peers ${peer} --layers 0,${ring.layers}`);
  const find = `this device alone is right; to find which node is not: ${each.join("; ")}`;
  return `${find}; on that one: ${causes.join("; ")}`;
}

/** The last line. */
export function verdictText(rings: readonly VerifiedRing[], file: string): string {
  const failed = rings.filter(({ comparison }) => comparison.differences.length > 0);
  if (failed.length > 0) {
    return `not verified: ${plural(failed.length, "ring")} of ${rings.length} gave other tokens`;
  }
  const exact = rings.every(({ nodes }) => inexactNodes(nodes).length === 0);
  return exact
    ? `verified: every token of ${file} is the golden one`
    : `verified as far as ort allows: no token of ${file} differs at a clear margin`;
}

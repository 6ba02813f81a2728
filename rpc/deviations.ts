/**
 * What takes a ring's tokens away from those of one node. A ring whose nodes compute alike gives the very bits of
 * one node, whatever its length and split; what breaks that is said when the ring is made, and in its summary.
 */

/** A node of a ring, as far as its bits go. */
export interface ComputingNode {
  /** How messages name it. */
  name: string;
  /** What computes: "simd" or "ort". */
  backend: string;
  /** Why that is not "simd", as a clause; null where it is, or where nothing else was to be. */
  backendReason: string | null;
  /** The release of mdi that it runs. */
  release: string;
}

/**
 * Why the tokens may differ from one node's, one line for people each; none where they are the same.
 * @param nodes in the ring's order, the starter first.
 */
export function deviations(nodes: readonly ComputingNode[], wire: "f32" | "f16"): string[] {
  if (nodes.length < 2) return [];
  return [backendDeviation(nodes), wireDeviation(wire), releaseDeviation(nodes)]
    .filter((each) => each !== null)
    .map(([why, remedy]) => `tokens may differ from those of one node: ${why}; ${remedy}`);
}

/** A cause and what to do about it; null where there is none. */
type Deviation = readonly [why: string, remedy: string] | null;

function backendDeviation(nodes: readonly ComputingNode[]): Deviation {
  const others = nodes.filter(({ backend }) => backend !== "simd");
  const ours = nodes.filter(({ backend }) => backend === "simd");
  if (others.length === 0 || ours.length === 0) return null;
  const reasons = others.map(({ name, backendReason }) =>
    `${name} (${backendReason ?? "started with --backend ort"})`
  );
  const told = others.every(({ backendReason }) => backendReason === null);
  return [
    `simd computes on ${listed(ours.map(({ name }) => name))} and ort on ${
      listed(reasons)
    }, which round differently`,
    told
      ? `start ${listed(others.map(({ name }) => name))} with --backend auto for the same tokens`
      : "start every node with --backend ort for the same tokens",
  ];
}

function wireDeviation(wire: "f32" | "f16"): Deviation {
  if (wire === "f32") return null;
  return ["--wire f16 rounds what nodes send each other", "leave it out for the same tokens"];
}

function releaseDeviation(nodes: readonly ComputingNode[]): Deviation {
  if (new Set(nodes.map(({ release }) => release)).size === 1) return null;
  const releases = nodes.map(({ name, release }) => `mdi ${release} on ${name}`);
  return [
    `${listed(releases)} may round differently`,
    "run the same release on every node for the same tokens",
  ];
}

function listed(items: readonly string[]): string {
  return items.length < 2 ? items.join() : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
}

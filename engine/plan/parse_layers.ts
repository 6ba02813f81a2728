/** The split that a person gives by hand. */
import { type Plan, planFromCounts } from "./plan.ts";

/**
 * Reads `--layers 12,9,9`: a number of layers for each node, the starter first. Only the starter may
 * have none.
 *
 * @param nodes Names of the ring's nodes, the starter first.
 * @param layers Layers of the model.
 * @throws {RangeError} where the numbers are not such a split.
 */
export function parseLayers(text: string, nodes: readonly string[], layers: number): Plan {
  const refuse = (why: string) =>
    new RangeError(`Cannot split the layers as "${text}": ${why}; give ${example(nodes, layers)}`);
  const parts = text.split(",").map((part) => part.trim());
  const bad = parts.find((part) => !/^\d{1,6}$/.test(part));
  if (bad !== undefined) throw refuse(`"${bad}" is not a number of layers`);
  const counts = parts.map(Number);
  if (counts.length !== nodes.length) {
    throw refuse(`it has ${counts.length} numbers and the ring ${nodes.length} nodes`);
  }
  const empty = counts.indexOf(0, 1);
  if (empty > 0) throw refuse(`${nodes[empty]} would have no layers, which only the starter may`);
  const sum = counts.reduce((a, b) => a + b, 0);
  if (sum !== layers) throw refuse(`it adds up to ${sum} and the model has ${layers} layers`);
  return planFromCounts(nodes, counts);
}

/** Tells what would be right, with numbers where some are. */
function example(nodes: readonly string[], layers: number): string {
  if (layers < nodes.length) return `at most ${layers} nodes a layer each`;
  const each = Math.floor(layers / nodes.length);
  const extra = layers % nodes.length;
  return nodes.map((_, i) => each + (i < extra ? 1 : 0)).join(",") + " for one";
}

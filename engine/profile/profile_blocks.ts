/** Which of a model's blocks a node is measured with. */
import type { BlockEntry, Manifest } from "../model/types.ts";

/** The blocks of a measurement and those that they refer to, in the manifest's order. */
export interface ProfileBlocks {
  /** The layer that is measured: the one whose size is nearest to the mean of all, the first of these. */
  layer: BlockEntry;
  /** All that the stage of layers is loaded from. */
  layers: BlockEntry[];
  /** All that the stage of embed and head is loaded from; none on a secondary. */
  ends: BlockEntry[];
}

/** Chooses the blocks; every node of a ring comes to the same layer. */
export function blocksToProfile(manifest: Manifest, starter: boolean): ProfileBlocks {
  const layers = manifest.blocks.filter(({ name }) => name.startsWith("layer."));
  const mean = layers.reduce((sum, { bytes }) => sum + bytes, 0) / layers.length;
  const distance = ({ bytes }: BlockEntry) => Math.abs(bytes - mean);
  const layer = layers.reduce((best, each) => distance(each) < distance(best) ? each : best);
  return {
    layer,
    layers: withRequired(manifest, [layer.name]),
    ends: starter ? withRequired(manifest, ["embed", "head"]) : [],
  };
}

/** All blocks that have to be in the store for a measurement, in the manifest's order. */
export function blocksOfProfile(manifest: Manifest, starter: boolean): BlockEntry[] {
  const { layers, ends } = blocksToProfile(manifest, starter);
  const names = new Set([...layers, ...ends].map(({ name }) => name));
  return manifest.blocks.filter(({ name }) => names.has(name));
}

function withRequired({ blocks }: Manifest, wanted: readonly string[]): BlockEntry[] {
  const names = new Set(wanted);
  // What a block requires comes before it.
  for (const { name, requires } of blocks.toReversed()) {
    if (names.has(name)) { for (const each of requires) names.add(each); }
  }
  return blocks.filter(({ name }) => names.has(name));
}

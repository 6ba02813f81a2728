/** The default split: before anything is measured, by cores and free memory. */
import { MdiError } from "../../wasm/error.ts";
import { wholeMegabytes } from "../../wasm/whole_megabytes.ts";
import { type Plan, planFromCounts } from "./plan.ts";

/** What the default split knows of a node. */
export interface SplitNode {
  /** The node's name for people. */
  name: string;
  /** Threads that it computes with, at least 1. */
  cores: number;
  /** Bytes that it has free for weights and KV caches. */
  memoryFreeBytes: number;
  /** Bytes of the largest layer's weights, as this node holds them. */
  layerBytes: number;
  /**
   * Bytes that this node takes beside weights.
   *
   * @default {0}
   */
  nodeBytes?: number;
}

/** What is to be split over which ring. */
export interface SplitInput {
  /** Layers of the model. */
  layers: number;
  /** Bytes of embed, which the starter holds; 0 where head's block holds them too. */
  embedBytes: number;
  /** Bytes of head, which the starter holds. */
  headBytes: number;
  /**
   * Bytes of KV cache to leave room for with each layer.
   *
   * @default {0}
   */
  kvBytesPerLayer?: number;
  /** In the order of the ring; the first is the starter. At least one. */
  nodes: readonly SplitNode[];
}

/**
 * Splits a model's layers so that the node with the most bytes of weights per core has as few as
 * possible: at decode, time goes with the bytes read. Embed and head weigh on the starter, which may
 * so be left without layers; every secondary has at least one.
 *
 * Layer by layer, the next goes to the node that would have the fewest bytes per core with it. As the
 * layers of a node are alike, that greedy order is exact. A tie goes to the first secondary and last to the
 * starter, who samples besides.
 *
 * @throws {RangeError} where there are more nodes than layers, or an input is no such number.
 * @throws {MdiError} memory where the nodes cannot hold the model.
 */
export function splitLayers(input: SplitInput): Plan {
  check(input);
  const { layers, embedBytes, headBytes, nodes } = input;
  const fixed = nodes.map((_, i) => i === 0 ? embedBytes + headBytes : 0);
  const perLayer = nodes.map(({ layerBytes }) => layerBytes + (input.kvBytesPerLayer ?? 0));
  const taken = nodes.map(({ nodeBytes = 0 }, i) => fixed[i]! + nodeBytes);
  const room = nodes.map((node, i) =>
    Math.floor((node.memoryFreeBytes - taken[i]!) / perLayer[i]!)
  );
  const counts = nodes.map((_, i) => i === 0 ? 0 : 1);
  const fits = counts.every((count, i) => room[i]! >= count);
  if (!fits || sum(room) < layers) throw tooBig(input, taken, perLayer, room);
  for (let placed = sum(counts); placed < layers; placed++) {
    let best = -1;
    let bestLoad = Infinity;
    for (let turn = 1; turn <= nodes.length; turn++) {
      const i = turn % nodes.length;
      const { layerBytes, cores } = nodes[i]!;
      const load = (fixed[i]! + (counts[i]! + 1) * layerBytes) / cores;
      if (counts[i]! < room[i]! && load < bestLoad) {
        best = i;
        bestLoad = load;
      }
    }
    counts[best]!++;
  }
  return planFromCounts(nodes.map((node) => node.name), counts);
}

function check(input: SplitInput): void {
  const { layers, nodes } = input;
  const number = (name: string, value: number, min: number) => {
    if (Number.isFinite(value) && value >= min) return;
    throw new RangeError(
      `Cannot split the model: ${name} is ${value}, which is not at least ${min}`,
    );
  };
  number("nodes", nodes.length, 1);
  number("layers", layers, 1);
  number("embedBytes", input.embedBytes, 0);
  number("headBytes", input.headBytes, 0);
  number("kvBytesPerLayer", input.kvBytesPerLayer ?? 0, 0);
  for (const node of nodes) {
    number(`cores of ${node.name}`, node.cores, 1);
    number(`memoryFreeBytes of ${node.name}`, node.memoryFreeBytes, 0);
    number(`layerBytes of ${node.name}`, node.layerBytes, 1);
    number(`nodeBytes of ${node.name}`, node.nodeBytes ?? 0, 0);
  }
  if (nodes.length > layers) {
    throw new RangeError(
      `Cannot split ${layers} layers over ${nodes.length} nodes: a node would have none; ` +
        `use at most ${layers} nodes`,
    );
  }
}

/** Says what is missing where. */
function tooBig(
  { layers, nodes }: SplitInput,
  taken: number[],
  perLayer: number[],
  room: number[],
): MdiError {
  const short = nodes.flatMap((node, i) => {
    const least = taken[i]! + (i === 0 ? 0 : perLayer[i]!);
    const missing = least - node.memoryFreeBytes;
    const what = i === 0 ? "embed and head" : "one layer";
    return missing > 0 ? [`${node.name} lacks ${wholeMegabytes(missing)} for ${what}`] : [];
  });
  const held = sum(room.map((count) => Math.max(0, count)));
  const each = nodes.map((node, i) => `${node.name} ${Math.max(0, room[i]!)}`).join(", ");
  // On the node that takes least for one.
  const layer = Math.min(...perLayer);
  const missingBytes = Math.max(0, layers - held) * layer;
  if (missingBytes > 0) {
    short.push(
      `${layers} layers take ${wholeMegabytes(layers * layer)} and there is room for ${held} ` +
        `(${each}), so ${wholeMegabytes(missingBytes)} are missing`,
    );
  }
  return new MdiError(
    "memory",
    `Cannot place the model: ${short.join("; ")}; free memory or add a node`,
    { details: { layers, room: held, missingBytes } },
  );
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

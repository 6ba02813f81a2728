import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MdiError } from "../../wasm/error.ts";
import { type SplitInput, splitLayers } from "./split.ts";

const SEED = { seed: 7, numRuns: 2000 };

/** SmolLM2-135M-Instruct as Q4_1 with a tied Q8_0 embedding. */
const SMOLLM2 = { layers: 30, embedBytes: 0, headBytes: 30_081_024 };
const LAYER_BYTES = 2_212_000;

function ring(...cores: number[]) {
  const layerBytes = LAYER_BYTES;
  return cores.map((count, i) => ({
    name: `n${i}`,
    cores: count,
    memoryFreeBytes: 1e9,
    layerBytes,
  }));
}

function counts(input: SplitInput): number[] {
  return splitLayers(input).nodes.map(({ layers }) => layers ? layers[1] - layers[0] + 1 : 0);
}

/** Bytes per core of the most loaded node. */
function worst(input: SplitInput, split: readonly number[]): number {
  return Math.max(...split.map((count, i) => {
    const fixed = i === 0 ? input.embedBytes + input.headBytes : 0;
    const { layerBytes, cores } = input.nodes[i]!;
    return (fixed + count * layerBytes) / cores;
  }));
}

function fitsMemory(input: SplitInput, split: readonly number[]): boolean {
  return split.every((count, i) => {
    const { layerBytes, nodeBytes = 0, memoryFreeBytes } = input.nodes[i]!;
    const perLayer = layerBytes + (input.kvBytesPerLayer ?? 0);
    const fixed = i === 0 ? input.embedBytes + input.headBytes : 0;
    return nodeBytes + fixed + count * perLayer <= memoryFreeBytes;
  });
}

/** All ways to give at least one layer to each secondary. */
function* allSplits(layers: number, nodes: number): Generator<number[]> {
  function* secondaries(left: number, number: number): Generator<number[]> {
    if (number === 0) {
      yield [left];
      return;
    }
    for (let count = 1; count <= left - number + 1; count++) {
      for (const rest of secondaries(left - count, number - 1)) yield [...rest, count];
    }
  }
  if (nodes === 1) yield [layers];
  else yield* secondaries(layers, nodes - 1);
}

const inputs: fc.Arbitrary<SplitInput> = fc.record({
  layers: fc.integer({ min: 1, max: 12 }),
  embedBytes: fc.integer({ min: 0, max: 200 }),
  headBytes: fc.integer({ min: 0, max: 200 }),
  kvBytesPerLayer: fc.integer({ min: 0, max: 10 }),
  nodes: fc.array(
    fc.record({
      name: fc.string({ minLength: 1, maxLength: 3 }),
      cores: fc.integer({ min: 1, max: 8 }),
      memoryFreeBytes: fc.integer({ min: 0, max: 700 }),
      layerBytes: fc.integer({ min: 1, max: 40 }),
      nodeBytes: fc.integer({ min: 0, max: 30 }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
}).filter(({ layers, nodes }) => nodes.length <= layers);

Deno.test("splitLayers() counts head on the starter", () => {
  assertEquals(counts({ ...SMOLLM2, nodes: ring(2) }), [30]);
  assertEquals(counts({ ...SMOLLM2, nodes: ring(2, 2) }), [8, 22]);
  assertEquals(counts({ ...SMOLLM2, nodes: ring(2, 2, 2) }), [1, 15, 14]);
  assertEquals(counts({ ...SMOLLM2, nodes: ring(1, 1, 1, 1) }), [0, 10, 10, 10]);
  assertEquals(splitLayers({ ...SMOLLM2, nodes: ring(1, 2, 3) }).nodes, [
    { name: "n0", layers: null },
    { name: "n1", layers: [0, 11] },
    { name: "n2", layers: [12, 29] },
  ]);
});

Deno.test("splitLayers() gives a node no more than its memory holds", () => {
  const nodes = ring(1, 4, 4);
  nodes[1]!.memoryFreeBytes = 3 * (LAYER_BYTES + 1_000_000);
  assertEquals(counts({ ...SMOLLM2, kvBytesPerLayer: 1_000_000, nodes }), [0, 3, 27]);
});

Deno.test("splitLayers() covers every layer once, in order, within memory, the same each time", () => {
  fc.assert(
    fc.property(inputs, (input) => {
      const possible = [...allSplits(input.layers, input.nodes.length)]
        .filter((split) => fitsMemory(input, split));
      if (possible.length === 0) {
        const error = assertThrows(() => splitLayers(input), MdiError);
        assertEquals(error.code, "memory");
        return;
      }
      const plan = splitLayers(input);
      assertEquals(splitLayers(input), plan);
      let next = 0;
      plan.nodes.forEach(({ name, layers }, i) => {
        assertEquals(name, input.nodes[i]!.name);
        if (layers === null) return assertEquals(i, 0, "only the starter may be empty");
        assertEquals(layers[0], next);
        assert(layers[1] >= layers[0]);
        next = layers[1] + 1;
      });
      assertEquals(next, input.layers);
      const split = counts(input);
      assert(fitsMemory(input, split));
      const best = Math.min(...possible.map((other) => worst(input, other)));
      assertEquals(worst(input, split), best, "no split has a less loaded worst node");
    }),
    SEED,
  );
});

Deno.test("splitLayers() says how much memory is missing where", () => {
  const nodes = ring(4, 4, 4);
  nodes[0]!.memoryFreeBytes = 20e6;
  nodes[1]!.memoryFreeBytes = 1e6;
  nodes[2]!.memoryFreeBytes = 50e6;
  const error = assertThrows(() => splitLayers({ ...SMOLLM2, nodes }), MdiError);
  assertEquals(error.code, "memory");
  assertEquals(
    error.message,
    "Cannot place the model: n0 lacks 11 MB for embed and head; n1 lacks 2 MB for one layer; " +
      "30 layers take 67 MB and there is room for 22 (n0 0, n1 0, n2 22), so 18 MB are missing; " +
      "free memory or add a node",
  );
});

Deno.test("splitLayers() refuses more nodes than layers", () => {
  const input = { ...SMOLLM2, layers: 2, nodes: ring(1, 1, 1) };
  assertThrows(() => splitLayers(input), RangeError, "Cannot split 2 layers over 3 nodes");
});

Deno.test("splitLayers() refuses numbers that are none", () => {
  for (
    const wrong of [
      ...[{ layers: NaN }, { layers: 0 }, { headBytes: -1 }, { nodes: [] }],
      ...[{ cores: 0 }, { layerBytes: 0 }, { nodeBytes: -1 }, { memoryFreeBytes: NaN }]
        .map((node) => ({ nodes: [{ ...ring(1)[0]!, ...node }] })),
    ]
  ) {
    assertThrows(() => splitLayers({ ...SMOLLM2, nodes: ring(1), ...wrong }), RangeError);
  }
});

Deno.test("splitLayers() leaves on every node what it takes beside weights", () => {
  const nodes = ring(1, 1, 1).map((node) => ({ ...node, nodeBytes: 120e6 }));
  nodes[1]!.memoryFreeBytes = 125e6;
  const input = { ...SMOLLM2, nodes };
  assertEquals(counts(input)[1], 2);
  nodes[1]!.memoryFreeBytes = 120e6;
  assertThrows(() => splitLayers(input), MdiError, "n1 lacks 3 MB for one layer");
});

Deno.test("splitLayers() counts a layer on each node as that node holds it", () => {
  const nodes = ring(1, 1, 1);
  nodes[2]!.layerBytes = 6 * LAYER_BYTES;
  assertEquals(counts({ ...SMOLLM2, nodes }), [7, 20, 3]);
});

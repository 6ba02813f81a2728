import { assert, assertEquals, assertThrows } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import type { Backend } from "../wasm/stage.ts";
import { MdiError } from "../wasm/error.ts";
import type { BlockEntry, Manifest } from "../engine/model/types.ts";
import { DeviceSchema } from "./gen/mdi/v1/control_pb.ts";
import { planLayers, planText } from "./plan_ring.ts";

const LAYERS = 24;

/** A manifest of 4-bit layers of 10 MB and a tied 8-bit head of 30 MB. */
const MANIFEST = {
  config: { layers: LAYERS },
  blocks: [
    block("embed", 30e6, 28e6),
    ...Array.from({ length: LAYERS }, (_, i) => block(`layer.${i}`, 10e6, 16e6)),
    { ...block("head", 1e3, 600), requires: ["embed"] },
  ],
} as unknown as Manifest;

function block(name: string, bytes: number, parameters: number): BlockEntry {
  return { name, hash: "0".repeat(64), bytes, parameters, requires: [] } as unknown as BlockEntry;
}

function peer(name: string, backend: Backend | "", threads: number, memoryFreeBytes = 8e9) {
  const memory = BigInt(memoryFreeBytes);
  return {
    name,
    device: create(DeviceSchema, { backend, threads, cores: 8, memoryFreeBytes: memory }),
  };
}

function counts(backend: Backend, threads: number, ...peers: ReturnType<typeof peer>[]): number[] {
  const node = { name: "s", backend, threads, memoryBytes: null };
  const { nodes } = planLayers(undefined, MANIFEST, node, peers);
  return nodes.map(({ layers }) => layers ? layers[1] - layers[0] + 1 : 0);
}

Deno.test("planLayers() goes by the threads that each node computes with", () => {
  assertEquals(counts("auto", 2, peer("a", "auto", 4), peer("b", "simd", 2)), [3, 14, 7]);
  // ONNX Runtime has one thread, whatever the device has.
  assertEquals(counts("ort", 8, peer("a", "ort", 1)), counts("ort", 1, peer("a", "", 1)));
});

Deno.test("planLayers() gives fewer layers to a node that expands their weights", () => {
  const [, expands, packs] = counts("auto", 1, peer("a", "ort", 1), peer("b", "auto", 1));
  assert(expands! < packs! / 4, `${expands} and ${packs}`);
  assertEquals(counts("auto", 1, peer("a", "", 1), peer("b", "auto", 1))[1], expands);
});

Deno.test("planLayers() fits packed weights where expanded ones do not fit", () => {
  const split = counts("auto", 1, peer("a", "auto", 8, 300e6));
  assert(split[1]! > 10, `${split}`);
  assertThrows(() => counts("auto", 1, peer("a", "ort", 1, 180e6)), MdiError, "a lacks");
});

Deno.test("planText() is one line", () => {
  const nodes = [
    { name: "a", layers: [0, 0] as const },
    { name: "b", layers: [1, 9] as const },
    { name: "c", layers: null },
  ];
  assertEquals(planText({ nodes }), "a: layer 0, b: layers 1-9, c: no layers");
  assertEquals(
    planText({ nodes: nodes.slice(0, 1) }, { tokensPerSecond: 8.26, samples: 1 }),
    "a: layer 0; predicted: 8.3 tokens/s with 1 sample under way",
  );
});

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MdiError } from "./error.ts";
import { readStageProfile, type StageProfile } from "./profile.ts";

const PROFILE: StageProfile = {
  backend: "simd",
  processors: 4,
  threads: 2,
  layer: { rows: [1, 4], ms: [0.1, 0.25] },
  layerCachedMs: 1e-4,
  prefillLayer: { rows: [1, 32], ms: [0.1, 1.5] },
  embed: null,
  head: { rows: [1], ms: [2] },
  callMs: 0.2,
  layerWeightBytes: 2_200_000,
  kvBytesPerTokenLayer: 1536,
  measuredMs: 3000,
};

Deno.test("readStageProfile() gives back what was written, without fields that it does not know", () => {
  const text = JSON.stringify({ ...PROFILE, stray: 1 });
  assertEquals(readStageProfile(JSON.parse(text)), PROFILE);
});

Deno.test("readStageProfile() names the field that is wrong", () => {
  const wrong: [Record<string, unknown>, string][] = [
    [{ backend: "gpu" }, "backend"],
    [{ threads: 0 }, "threads"],
    [{ threads: 1.5 }, "threads"],
    [{ layer: { rows: [2], ms: [1] } }, "layer"],
    [{ layer: { rows: [1, 1], ms: [1, 2] } }, "layer"],
    [{ layer: { rows: [1], ms: [null] } }, "layer"],
    [{ layer: null }, "layer"],
    [{ layerCachedMs: -1 }, "layerCachedMs"],
    [{ head: { rows: [1, 2], ms: [1] } }, "head"],
    [{ embed: undefined }, "embed"],
    [{ callMs: "1" }, "callMs"],
    [{ layerWeightBytes: 1e300 }, "layerWeightBytes"],
  ];
  for (const [change, field] of wrong) {
    const error = assertThrows(() => readStageProfile({ ...PROFILE, ...change }), MdiError, field);
    assertEquals([error.code, error.details.field], ["protocol", field]);
  }
});

Deno.test("readStageProfile() refuses whatever else there is", () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    assertThrows(() => readStageProfile(value), MdiError);
  }));
});

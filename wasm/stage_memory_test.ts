import { assert, assertEquals } from "@std/assert";
import { RUNTIME_BYTES } from "./ort/memory.ts";
import { leastStageBytes, nodeBytes, residentBytes } from "./stage_memory.ts";

const quantised = { bytes: 1e6, parameters: 2e6 };
const mostlyGraph = { bytes: 9e6, parameters: 1e6 };

Deno.test("leastStageBytes() takes the smaller form of every block's weights for ort", () => {
  assertEquals(leastStageBytes([], "ort"), RUNTIME_BYTES);
  const weights = leastStageBytes([quantised, mostlyGraph], "ort") - RUNTIME_BYTES;
  assertEquals(Math.round(weights), 1.1 * 5e6);
});

Deno.test("leastStageBytes() of auto is what the smaller backend needs", () => {
  for (
    const blocks of [[], [quantised], [quantised, mostlyGraph], [{ ...mostlyGraph, bytes: 9e9 }]]
  ) {
    const [ort, simd] = [leastStageBytes(blocks, "ort"), leastStageBytes(blocks, "simd")];
    assertEquals(leastStageBytes(blocks, "auto"), Math.min(ort, simd));
  }
});

Deno.test("residentBytes() are f32 for ort and near the stored size for all others", () => {
  assertEquals(Math.round(residentBytes(quantised, "ort")), 8.8e6);
  for (const backend of ["auto", "simd"] as const) {
    const bytes = residentBytes(quantised, backend);
    assert(bytes >= quantised.bytes && bytes < 1.2 * quantised.bytes, `${bytes}`);
    assert(nodeBytes(backend) < nodeBytes("ort"));
  }
});

import { assertEquals } from "@std/assert";
import { leastStageBytes, RUNTIME_BYTES } from "./memory.ts";

Deno.test("leastStageBytes() takes the smaller form of every block's weights", () => {
  assertEquals(leastStageBytes([]), RUNTIME_BYTES);
  const quantised = { bytes: 1e6, parameters: 2e6 };
  const mostlyGraph = { bytes: 9e6, parameters: 1e6 };
  const weights = leastStageBytes([quantised, mostlyGraph]) - RUNTIME_BYTES;
  assertEquals(Math.round(weights), 1.1 * 5e6);
});

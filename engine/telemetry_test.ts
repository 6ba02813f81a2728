import { assertEquals } from "@std/assert";
import { generationSpans } from "./telemetry.ts";

Deno.test("generationSpans() is null where Deno's telemetry is off", () => {
  assertEquals(generationSpans({}), null);
  assertEquals(generationSpans({ again: 1 }), null);
});

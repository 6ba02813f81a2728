import { assertStringIncludes, assertThrows } from "@std/assert";
import { MdiError } from "../../wasm/error.ts";
import { requireClock, requireMemory } from "./preconditions.ts";

Deno.test("requireMemory() refuses what no split makes fit, with both figures", () => {
  requireMemory("m", 10, undefined);
  requireMemory("m", 10, 10);
  const { code, message } = assertThrows(() => requireMemory("m", 2e9, 1e9), MdiError);
  assertStringIncludes(`${code} ${message}`, "memory Cannot use m: it has 2.0 GB");
  assertStringIncludes(message, "1.0 GB of memory free");
});

Deno.test("requireClock() names the date of a clock that is behind, before a certificate fails", () => {
  requireClock(new URL("https://hub.example"));
  requireClock(new URL("http://hub.example"), 0);
  const { message } = assertThrows(() => requireClock(new URL("https://hub.example"), 0), MdiError);
  assertStringIncludes(message, "1970-01-01");
  assertStringIncludes(message, "timedatectl");
});

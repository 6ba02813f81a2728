import { assertEquals, assertThrows } from "@std/assert";
import { InvalidArgumentError } from "@commander-js/extra-typings";
import { deaths, throttles, tokenLength } from "./simulate_args.ts";

Deno.test("tokenLength() reads a number or two", () => {
  assertEquals(tokenLength("200"), 200);
  assertEquals(tokenLength(" 50-200 "), { min: 50, max: 200 });
  for (const text of ["", "0", "-3", "5-", "9-3", "1.5", "1-2-3", "9999999", "1e3", "__proto__"]) {
    assertThrows(() => tokenLength(text), InvalidArgumentError, "number of tokens");
  }
});

Deno.test("throttles() collects devices, factors and moments", () => {
  const first = throttles("pi4=3@60", undefined);
  assertEquals(throttles("a=b=1.5", first), [
    { name: "pi4", factor: 3, atMs: 60_000 },
    { name: "a=b", factor: 1.5, atMs: 0 },
  ]);
  for (const text of ["pi4", "pi4=", "=3@1", "pi4=0.5@1", "pi4=2@", "pi4=2@1.2.3", "pi4=9999@1"]) {
    assertThrows(() => throttles(text, undefined), InvalidArgumentError, "pi4=3@60");
  }
});

Deno.test("deaths() collects devices and moments", () => {
  assertEquals(deaths("b@0", deaths("a@x@1.5", undefined)), [
    { name: "a@x", atMs: 1500 },
    { name: "b", atMs: 0 },
  ]);
  for (const text of ["pi4", "pi4@", "@4", "pi4@soon", "pi4@1e99", "pi4@99999999999"]) {
    assertThrows(() => deaths(text, undefined), InvalidArgumentError, "pi4@60");
  }
});

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  parseBoard,
  parseClock,
  parsePageBytes,
  parsePowerSave,
  parseTemperature,
  parseThrottled,
} from "./parse_facts.ts";

Deno.test("parseThrottled() reads a Raspberry Pi's word as vcgencmd and as the kernel show it", () => {
  const fine = { underVoltage: false, clock: false, temperature: false, before: false };
  assertEquals(parseThrottled("throttled=0x0\n"), fine);
  assertEquals(parseThrottled("0\n"), fine);
  // Under-voltage and throttled, both now and before: what a weak supply gives.
  const weak = { ...fine, underVoltage: true, clock: true, before: true };
  assertEquals(parseThrottled("throttled=0x50005\n"), weak);
  assertEquals(parseThrottled("50005\n"), weak);
  // Soft temperature limit and capped clock now.
  assertEquals(parseThrottled("0x000A000A"), {
    ...fine,
    clock: true,
    temperature: true,
    before: true,
  });
  assertEquals(parseThrottled("80000"), { ...fine, before: true });
  assertEquals(parseThrottled("VCHI initialization failed"), null);
});

Deno.test("parseTemperature() and parseClock() read what sensors say, and nothing else", () => {
  assertEquals(parseTemperature("48312\n"), 48.312);
  for (const odd of ["0\n", "-273000\n", "", "48.3", "200000", "cold"]) {
    assertEquals(parseTemperature(odd), null);
  }
  assertEquals(parseClock("2400000\n"), 2400);
  for (const odd of ["<unknown>\n", "0", "", "-5"]) assertEquals(parseClock(odd), null);
});

Deno.test("parsePowerSave() and parseBoard() read what a Raspberry Pi says", () => {
  assertEquals(parsePowerSave("Power save: on\n"), true);
  assertEquals(parsePowerSave("Power save: off\n"), false);
  assertEquals(parsePowerSave("command failed: No such device (-19)\n"), null);
  const board = "Raspberry Pi Zero 2 W Rev 1.0";
  assertEquals(parseBoard(`${board}\0`), board);
  assertEquals(parseBoard("\0"), null);
});

Deno.test("parsePageBytes() finds the page size in an auxiliary vector", () => {
  const vector = (...pairs: [bigint, bigint][]) =>
    new Uint8Array(BigUint64Array.from(pairs.flat()).buffer);
  assertEquals(parsePageBytes(vector([33n, 0x7ffd_0000n], [6n, 16384n], [0n, 0n])), 16384);
  assertEquals(parsePageBytes(vector([16n, 1n], [0n, 0n])), null);
  assertEquals(parsePageBytes(vector([6n, 3n])), null);
});

Deno.test("the readers of facts take any text and any bytes", () => {
  fc.assert(fc.property(fc.string(), (text) => {
    parseThrottled(text);
    parseTemperature(text);
    parseClock(text);
    parsePowerSave(text);
    parseBoard(text);
  }));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
    parsePageBytes(bytes);
  }));
});

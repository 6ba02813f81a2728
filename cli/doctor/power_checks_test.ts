import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  parsePowerSave,
  parseTemperature,
  parseThrottled,
} from "../../engine/device/parse_facts.ts";
import { checkPower, type PowerFacts } from "./power_checks.ts";
import type { Finding } from "./finding.ts";

/** A Raspberry Pi, from the texts that it shows. */
function pi(texts: { throttled?: string; temp?: string; powerSave?: string }): PowerFacts {
  const { throttled = "throttled=0x0\n", temp = "48312\n", powerSave } = texts;
  return {
    state: { temperatureC: parseTemperature(temp), throttling: parseThrottled(throttled) },
    board: "Raspberry Pi 4 Model B Rev 1.5",
    wifi: powerSave === undefined ? [] : [{ name: "wlan0", powerSave: parsePowerSave(powerSave) }],
    readable: true,
    os: "linux",
  };
}

function find(name: string, facts: PowerFacts): Finding {
  return checkPower(facts).find((finding) => finding.name === name)!;
}

Deno.test("checkPower() finds a cool board on a cable well", () => {
  assert(checkPower(pi({})).every(({ status }) => status === "good"));
});

Deno.test("checkPower() reads the firmware's word", () => {
  const cases: [string, Finding["status"], RegExp][] = [
    ["throttled=0x50005", "warning", /under-voltage, the clock is capped: .*now/],
    ["throttled=0x50000", "warning", /not now, but since/],
    ["throttled=0x80008", "warning", /temperature limit is active/],
    ["throttled=0xe0006", "warning", /the clock is capped/],
    ["0", "good", /no under-voltage/],
  ];
  for (const [throttled, status, words] of cases) {
    const finding = find("throttling", pi({ throttled }));
    assertEquals(finding.status, status, throttled);
    assertMatch(finding.message, words);
  }
  assertMatch(find("throttling", pi({ throttled: "0x1" })).action!, /supply/);
  const silent = find("throttling", pi({ throttled: "VCHI initialization failed" }));
  assertEquals(silent.status, "unknown");
  assertMatch(silent.action!, /vcgencmd/);
});

Deno.test("checkPower() warns of heat and of a radio that sleeps", () => {
  assertEquals(find("temperature", pi({ temp: "81050\n" })).status, "warning");
  assertEquals(find("wifi wlan0", pi({ powerSave: "Power save: off\n" })).status, "good");
  const asleep = find("wifi wlan0", pi({ powerSave: "Power save: on\n" }));
  assertEquals([asleep.status, asleep.value], ["warning", "on"]);
  assertMatch(asleep.action!, /iw dev wlan0 set power_save off/);
  assertEquals(find("wifi wlan0", pi({ powerSave: "" })).status, "unknown");
});

Deno.test("checkPower() says what it may not read, and asks no PC for a Pi's firmware", () => {
  const hidden = { temperatureC: null, throttling: null };
  const blind = { state: hidden, board: null, wifi: null, readable: false, os: "linux" };
  assertEquals(checkPower(blind).map(({ status }) => status), ["unknown", "unknown", "unknown"]);
  const pc = { ...blind, wifi: [], readable: true };
  assertEquals(checkPower(pc).map(({ name }) => name), ["temperature", "wifi"]);
  const mac = { ...blind, readable: true, os: "darwin" };
  assertEquals(checkPower(mac).map(({ name }) => name), ["temperature"]);
});

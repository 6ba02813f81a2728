import { assert, assertEquals } from "@std/assert";
import { checkDevice, type DeviceCheckFacts } from "./device_checks.ts";

/** A Raspberry Pi 5 with Raspberry Pi OS. */
const PI5: DeviceCheckFacts = {
  device: {
    cpu: null,
    cores: 4,
    simd: { build: "relaxed", version: "", reading: "signed" },
    pageBytes: 16_384,
    clockMhz: 1500,
    maxClockMhz: 2400,
  },
  arch: "aarch64",
  os: "linux",
  version: "0.1.0 (source)",
  board: "Raspberry Pi 5 Model B Rev 1.0",
  threads: 4,
  governor: "ondemand",
  driver: "cpufreq-dt",
  allowedMhz: 2400,
  readable: true,
};

function statusOf(name: string, facts: DeviceCheckFacts): string {
  return checkDevice(facts).find((finding) => finding.name === name)!.status;
}

Deno.test("checkDevice() finds a Raspberry Pi 5 fit, at rest and with pages of 16 KB", () => {
  const findings = checkDevice(PI5);
  assert(findings.every(({ status }) => status === "good"), JSON.stringify(findings));
  assertEquals(findings.at(-1)!.message, "16 KB");
  assertEquals(findings[0]!.message, "Raspberry Pi 5 Model B Rev 1.0, mdi 0.1.0 (source)");
});

Deno.test("checkDevice() warns of what makes it slow", () => {
  assertEquals(statusOf("threads", { ...PI5, threads: 1 }), "warning");
  const plain = { ...PI5.device.simd!, build: "plain" as const };
  assertEquals(statusOf("simd", { ...PI5, device: { ...PI5.device, simd: plain } }), "warning");
  assertEquals(statusOf("clock rate", { ...PI5, governor: "powersave" }), "warning");
  assertEquals(statusOf("clock rate", { ...PI5, allowedMhz: 1500 }), "warning");
  // There "powersave" is the governor that follows the load.
  const laptop = { ...PI5, governor: "powersave", driver: "intel_pstate" };
  assertEquals(statusOf("clock rate", laptop), "good");
});

Deno.test("checkDevice() refuses what mdi cannot run on", () => {
  assertEquals(statusOf("simd", { ...PI5, device: { ...PI5.device, simd: null } }), "bad");
  assertEquals(statusOf("system", { ...PI5, arch: "arm" }), "bad");
});

Deno.test("checkDevice() says what it may not read", () => {
  const device = { ...PI5.device, pageBytes: null, clockMhz: null, maxClockMhz: null };
  const unknown = (readable: boolean) =>
    checkDevice({ ...PI5, device, readable }).filter(({ status }) => status === "unknown");
  assertEquals(unknown(false).map(({ name }) => name), ["clock rate", "page size"]);
  assert(unknown(false).every(({ action }) => action?.includes("--allow-all")));
  assert(unknown(true).every(({ action }) => action === null));
});

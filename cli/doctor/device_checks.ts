/** What a device is: processor, SIMD, threads, clock, pages. */
import type { DeviceFacts } from "../../engine/device/facts.ts";
import { bad, type Finding, good, untold, warning } from "./finding.ts";
import { plural } from "../table.ts";

/** What is looked at. */
export interface DeviceCheckFacts {
  device: Pick<DeviceFacts, "cpu" | "cores" | "simd" | "pageBytes" | "clockMhz" | "maxClockMhz">;
  /** As Deno names them. */
  arch: string;
  os: string;
  /** mdi's version, and how it was made. */
  version: string;
  /** The board's name; null where there is none. */
  board: string | null;
  /** Threads that a node takes where nobody says. */
  threads: number;
  /** Names of cpufreq: "ondemand", and "cpufreq-dt"; null where there are none. */
  governor: string | null;
  driver: string | null;
  /** Most that the clock is allowed now, in MHz. */
  allowedMhz: number | null;
  /** Whether Deno may open the system's files. */
  readable: boolean;
}

/** Checks them. */
export function checkDevice(facts: DeviceCheckFacts): Finding[] {
  return [
    systemFinding(facts),
    simdFinding(facts),
    threadsFinding(facts),
    rateFinding(facts),
    pageFinding(facts),
  ];
}

function systemFinding({ device, arch, os, version, board }: DeviceCheckFacts): Finding {
  const value = { board, cpu: device.cpu, arch, os, version };
  const what = [board ?? device.cpu, `mdi ${version}`].filter(Boolean).join(", ");
  if (arch === "x86_64" || arch === "aarch64") return good("system", value, what);
  return bad(
    "system",
    value,
    `${what}: mdi needs a 64-bit system`,
    "on a Raspberry Pi install the 64-bit Raspberry Pi OS",
    "model_unsupported",
  );
}

function simdFinding({ device: { simd } }: DeviceCheckFacts): Finding {
  if (!simd) {
    return bad(
      "simd",
      null,
      "this host has no WebAssembly SIMD",
      "run mdi on a processor and a Deno that have it",
      "model_unsupported",
    );
  }
  const value = { build: simd.build, reading: simd.reading };
  if (simd.build === "plain") {
    return warning(
      "simd",
      value,
      "plain: without relaxed SIMD products take longer",
      "take the newest Deno",
    );
  }
  return good("simd", value, `relaxed, reads 8-bit operands as ${simd.reading}`);
}

function threadsFinding({ device: { cores }, threads }: DeviceCheckFacts): Finding {
  const value = { threads, processors: cores };
  const text = `${plural(threads, "thread")} of ${plural(cores, "processor")}`;
  if (threads > 1) return good("threads", value, text);
  return warning(
    "threads",
    value,
    `${text}: computing and the network share it`,
    "give this device few layers, or the process more processors",
  );
}

/** Governors that never leave, or seldom leave, the lowest clock; drivers of x86 name another thing so. */
const SLOW_GOVERNORS = ["powersave", "userspace"];

function rateFinding(facts: DeviceCheckFacts): Finding {
  const { device: { clockMhz, maxClockMhz }, governor, driver, allowedMhz, readable } = facts;
  if (clockMhz === null || maxClockMhz === null) return untold("clock rate", readable);
  const value = { mhz: clockMhz, max_mhz: maxClockMhz, allowed_mhz: allowedMhz, governor };
  const text = `${mhz(clockMhz)} of ${mhz(maxClockMhz)}${governor ? `, governor ${governor}` : ""}`;
  const ownWay = driver !== null && /pstate/.test(driver);
  if (governor !== null && SLOW_GOVERNORS.includes(governor) && !ownWay) {
    return warning(
      "clock rate",
      value,
      `${text}: it stays low under load`,
      'type "echo ondemand | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor"',
    );
  }
  if (allowedMhz !== null && allowedMhz < 0.95 * maxClockMhz) {
    return warning(
      "clock rate",
      value,
      `${text}, and no more than ${mhz(allowedMhz)} is allowed`,
      "look for what caps it: scaling_max_freq, the power supply, heat",
    );
  }
  return good("clock rate", value, text);
}

function pageFinding({ device: { pageBytes }, readable }: DeviceCheckFacts): Finding {
  if (pageBytes === null) return untold("page size", readable);
  return good("page size", pageBytes, `${pageBytes / 1024} KB`);
}

function mhz(value: number): string {
  return `${value.toFixed(0)} MHz`;
}

/** What this device tells of itself, for the checks; nobody is asked for a permission. */
import { type DeviceFacts, deviceFacts, readText } from "../../engine/device/facts.ts";
import { freeMemory, memoryLimit } from "../../engine/device/memory.ts";
import {
  parseBoard,
  parseClock,
  parsePowerSave,
  parseThrottled,
} from "../../engine/device/parse_facts.ts";
import { defaultThreads } from "../../wasm/threads.ts";
import { versionText } from "../build_info.ts";
import type { DeviceCheckFacts } from "./device_checks.ts";
import type { MemoryFacts } from "./memory_checks.ts";
import type { PowerFacts, Wifi } from "./power_checks.ts";
import { runTool } from "./run_tool.ts";

const CPU_FREQUENCY = "/sys/devices/system/cpu/cpu0/cpufreq";
const INTERFACES = "/sys/class/net";
const IW = ["iw", "/usr/sbin/iw", "/sbin/iw"];
const VCGENCMD = ["vcgencmd", "/usr/bin/vcgencmd"];

/** All but memory. */
export async function readHost(): Promise<DeviceCheckFacts & PowerFacts> {
  const device = await deviceFacts();
  const board = await readBoard();
  const allowed = await readText(`${CPU_FREQUENCY}/scaling_max_freq`);
  return {
    device,
    state: { ...device, throttling: device.throttling ?? await askFirmware(board) },
    arch: Deno.build.arch,
    os: Deno.build.os,
    version: versionText(),
    board,
    threads: defaultThreads(),
    governor: (await readText(`${CPU_FREQUENCY}/scaling_governor`))?.trim() ?? null,
    driver: (await readText(`${CPU_FREQUENCY}/scaling_driver`))?.trim() ?? null,
    allowedMhz: allowed === null ? null : parseClock(allowed),
    wifi: await readWifi(),
    readable: await canReadSystem(),
  };
}

/** Memory, as Deno tells it. */
export function readMemory(): MemoryFacts {
  const { total, swapTotal, swapFree } = Deno.systemMemoryInfo();
  return {
    totalBytes: total,
    freeBytes: freeMemory(null),
    limitBytes: memoryLimit(),
    swapTotalBytes: swapTotal,
    swapFreeBytes: swapFree,
  };
}

/** Whether Deno may open /proc and /sys: with all permissions only. Other systems have nothing there. */
async function canReadSystem(): Promise<boolean> {
  return Deno.build.os !== "linux" || await readText("/proc/self/stat") !== null;
}

async function readBoard(): Promise<string | null> {
  const text = await readText("/sys/firmware/devicetree/base/model");
  return text === null ? null : parseBoard(text);
}

/** Where the kernel does not show the firmware's word, its own tool does. */
async function askFirmware(board: string | null): Promise<DeviceFacts["throttling"]> {
  if (!board?.startsWith("Raspberry Pi")) return null;
  const text = await runTool(VCGENCMD, ["get_throttled"]);
  return text === null ? null : parseThrottled(text);
}

/** The wireless interfaces that are up; null where they cannot be listed. */
async function readWifi(): Promise<Wifi[] | null> {
  if (await readText("/proc/self/stat") === null) return null;
  const found: Wifi[] = [];
  for (const name of await namesOf(INTERFACES)) {
    const entries = await namesOf(`${INTERFACES}/${name}`);
    if (!entries.includes("wireless") && !entries.includes("phy80211")) continue;
    const state = await readText(`${INTERFACES}/${name}/operstate`);
    if (state?.trim() !== "up") continue;
    const told = await runTool(IW, ["dev", name, "get", "power_save"]);
    found.push({ name, powerSave: told === null ? null : parsePowerSave(told) });
  }
  return found;
}

async function namesOf(directory: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(directory))).map(({ name }) => name).sort();
  } catch {
    return []; // gone, or no directory
  }
}

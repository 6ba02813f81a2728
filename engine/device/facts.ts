/**
 * What there is to know of this device without native code. Linux shows most of it in /sys and /proc, which
 * Deno opens with all permissions only; what cannot be read is null, and nobody is asked for a permission.
 */
import { cpus } from "node:os";
import { type SimdLevel, simdLevel } from "../../wasm/simd/level.ts";
import { memoryLimit } from "./memory.ts";
import {
  parseClock,
  parsePageBytes,
  parseTemperature,
  parseThrottled,
  type Throttling,
} from "./parse_facts.ts";

/** What changes while a device works. */
export interface DeviceState {
  /** The warmest sensor, in °C. */
  temperatureC: number | null;
  /** What a Raspberry Pi's firmware says; null elsewhere. */
  throttling: Throttling | null;
  /** The fastest core's clock now, and the most it may have, in MHz. */
  clockMhz: number | null;
  maxClockMhz: number | null;
}

/** A device. */
export interface DeviceFacts extends DeviceState {
  /** The processor's name. */
  cpu: string | null;
  /** Threads that the processor has. */
  cores: number;
  /** Null where the host has no WebAssembly SIMD. */
  simd: SimdLevel | null;
  /** Bytes of a memory page. */
  pageBytes: number | null;
  /** Bytes of memory that the process's cgroup may have; null for no limit. */
  memoryLimitBytes: number | null;
}

/** Reads all of it. */
export async function deviceFacts(): Promise<DeviceFacts> {
  const vector = await attempt(() => readFile("/proc/self/auxv"));
  return {
    ...await deviceState(),
    cpu: await cpuName(),
    cores: navigator.hardwareConcurrency,
    simd: await simdLevel(),
    pageBytes: vector && parsePageBytes(vector),
    memoryLimitBytes: await attempt(() => Promise.resolve(memoryLimit())),
  };
}

/** Reads what changes. */
export async function deviceState(): Promise<DeviceState> {
  const [temperatures, clocks, maxima] = await Promise.all([
    readEach("/sys/class/thermal", /^thermal_zone\d+$/, "temp", parseTemperature),
    readEach(CPUS, /^cpu\d+$/, "cpufreq/scaling_cur_freq", parseClock),
    readEach(CPUS, /^cpu\d+$/, "cpufreq/cpuinfo_max_freq", parseClock),
  ]);
  const [throttling] = await readEach(PLATFORM, /:firmware$/, "get_throttled", parseThrottled);
  return {
    temperatureC: largest(temperatures),
    throttling: throttling ?? null,
    clockMhz: largest(clocks),
    maxClockMhz: largest(maxima),
  };
}

/** Hotter chips slow down. */
const HOT_C = 80;

/** Whether the device is held back now, as far as it tells. */
export function isThrottled({ temperatureC, throttling }: DeviceState): boolean {
  if (throttling) return throttling.underVoltage || throttling.clock || throttling.temperature;
  return temperatureC !== null && temperatureC >= HOT_C;
}

/** The processor's name, where the permission for it is there. */
export async function cpuName(): Promise<string | null> {
  const { state } = await Deno.permissions.query({ name: "sys", kind: "cpus" });
  if (state !== "granted") return null;
  return await attempt(() => Promise.resolve(cpus()[0]?.model.trim() || null));
}

const CPUS = "/sys/devices/system/cpu";
/** A Raspberry Pi's firmware is "soc:firmware" there, or has the bus's address in its name. */
const PLATFORM = "/sys/bus/platform/devices";
/** Files of a kind that are read at most. */
const MOST_FILES = 256;

async function readEach<T>(
  directory: string,
  names: RegExp,
  file: string,
  parse: (text: string) => T | null,
): Promise<T[]> {
  const entries = await attempt(() => Array.fromAsync(Deno.readDir(directory))) ?? [];
  const values: T[] = [];
  for (const { name } of entries.filter(({ name }) => names.test(name)).slice(0, MOST_FILES)) {
    const text = await readText(`${directory}/${name}/${file}`);
    const value = text === null ? null : parse(text);
    if (value !== null) values.push(value);
  }
  return values;
}

function largest(values: readonly number[]): number | null {
  return values.length === 0 ? null : Math.max(...values);
}

/** A small text file of the system; null where it is not there, or where Deno may not open it. */
export async function readText(path: string): Promise<string | null> {
  const bytes = await attempt(() => readFile(path));
  return bytes && new TextDecoder().decode(bytes);
}

async function readFile(path: string): Promise<Uint8Array<ArrayBuffer> | null> {
  const { state } = await Deno.permissions.query({ name: "read", path });
  return state === "granted" ? await Deno.readFile(path) : null;
}

/** Null for whatever is not there, not permitted, or not to be read now. */
async function attempt<T>(read: () => Promise<T>): Promise<T | null> {
  try {
    return await read();
  } catch {
    return null;
  }
}

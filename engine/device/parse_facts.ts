/** Readers of what Linux tells of a device in small files; each gives null for what it does not understand. */

/** Why a Raspberry Pi's firmware holds it back; each now, or at some time since it was started. */
export interface Throttling {
  /** The supply's voltage is too low. */
  underVoltage: boolean;
  /** The clock is below what was asked for, or capped. */
  clock: boolean;
  /** The soft temperature limit is active. */
  temperature: boolean;
  /** Whether any of it happened since the device was started. */
  before: boolean;
}

/**
 * Reads the firmware's word, as `vcgencmd get_throttled` prints it ("throttled=0x50005") or as the kernel shows
 * it ("50005"): bits 0 to 3 are under-voltage, capped clock, throttled, and the soft temperature limit now,
 * bits 16 to 19 the same since the start.
 */
export function parseThrottled(text: string): Throttling | null {
  const hex = /^(?:throttled=)?(?:0x)?([0-9a-f]{1,8})\s*$/i.exec(text)?.[1];
  if (hex === undefined) return null;
  const word = parseInt(hex, 16);
  return {
    underVoltage: (word & 1) !== 0,
    clock: (word & 0b110) !== 0,
    temperature: (word & 0b1000) !== 0,
    before: (word >>> 16 & 0xf) !== 0,
  };
}

/** Reads a thermal zone's temperature in thousandths of a degree; °C. */
export function parseTemperature(text: string): number | null {
  const value = wholeNumber(text);
  // Sensors that are off say 0, or values that no chip survives.
  return value === null || value <= 0 || value > 150_000 ? null : value / 1000;
}

/** Reads a frequency of cpufreq in kHz; MHz. */
export function parseClock(text: string): number | null {
  const value = wholeNumber(text);
  return value === null || value <= 0 || value > 1e8 ? null : value / 1000;
}

/** Reads what `iw dev wlan0 get power_save` prints, "Power save: on". */
export function parsePowerSave(text: string): boolean | null {
  const word = /^\s*Power save: (on|off)\s*$/i.exec(text)?.[1];
  return word === undefined ? null : word.toLowerCase() === "on";
}

/** Reads a board's name from its device tree, "Raspberry Pi 5 Model B Rev 1.0" and a zero byte. */
export function parseBoard(text: string): string | null {
  // deno-lint-ignore no-control-regex
  const name = text.replace(/[\x00-\x1f\x7f]+/g, " ").trim().slice(0, 100);
  return name === "" ? null : name;
}

/** AT_PAGESZ of elf.h. */
const PAGE_SIZE_KEY = 6n;

/** Reads the bytes of a memory page from a 64-bit little-endian auxiliary vector, /proc/self/auxv. */
export function parsePageBytes(vector: Uint8Array): number | null {
  const view = new DataView(vector.buffer, vector.byteOffset, vector.byteLength);
  for (let at = 0; at + 16 <= vector.length; at += 16) {
    if (view.getBigUint64(at, true) !== PAGE_SIZE_KEY) continue;
    const bytes = Number(view.getBigUint64(at + 8, true));
    return bytes >= 4096 && bytes <= 2 ** 24 && Number.isInteger(Math.log2(bytes)) ? bytes : null;
  }
  return null;
}

function wholeNumber(text: string): number | null {
  const trimmed = text.trim();
  return /^-?\d{1,12}$/.test(trimmed) ? Number(trimmed) : null;
}

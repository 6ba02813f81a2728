/** What holds a board back: supply, heat, and a radio that sleeps. */
import type { DeviceState } from "../../engine/device/facts.ts";
import { ALL_PERMISSIONS, type Finding, good, unknown, untold, warning } from "./finding.ts";

/** A wireless interface that is up. */
export interface Wifi {
  /** Its name, like "wlan0". */
  name: string;
  /** Whether it sleeps between packets; null where that was not told. */
  powerSave: boolean | null;
}

/** What is looked at. */
export interface PowerFacts {
  state: Pick<DeviceState, "temperatureC" | "throttling">;
  /** The board's name; null where there is none. */
  board: string | null;
  /** Null where the interfaces cannot be listed. */
  wifi: readonly Wifi[] | null;
  /** Whether Deno may open the system's files. */
  readable: boolean;
  os: string;
}

/** Boards slow down from 80 °C on, some before. */
const WARM_C = 75;

/** Checks them. */
export function checkPower(facts: PowerFacts): Finding[] {
  return [temperatureFinding(facts), ...throttlingFindings(facts), ...wifiFindings(facts)];
}

function temperatureFinding({ state: { temperatureC }, readable }: PowerFacts): Finding {
  if (temperatureC === null) return untold("temperature", readable);
  const text = `${temperatureC.toFixed(0)} °C`;
  if (temperatureC < WARM_C) return good("temperature", temperatureC, text);
  return warning(
    "temperature",
    temperatureC,
    `${text}: boards slow down from 80 °C on`,
    "give it a heat sink or a fan, and air",
  );
}

const SUPPLY = "use the supply made for this board and a short, thick cable";

function throttlingFindings({ state: { throttling }, board, readable }: PowerFacts): Finding[] {
  if (throttling === null) {
    // Only a Raspberry Pi has such a firmware; who may not read the board's name cannot tell.
    if (!readable) return [untold("throttling", false)];
    return board?.startsWith("Raspberry Pi")
      ? [unknown("throttling", "the firmware does not tell", 'type "vcgencmd get_throttled"')]
      : [];
  }
  const { underVoltage, clock, temperature, before } = throttling;
  const now = [
    ...(underVoltage ? ["under-voltage"] : []),
    ...(clock ? ["the clock is capped"] : []),
    ...(temperature ? ["the temperature limit is active"] : []),
  ];
  const value = now.join(", ") || (before ? "before" : "none");
  if (now.length > 0) {
    return [warning(
      "throttling",
      value,
      `${value}: the board is held back now`,
      underVoltage ? SUPPLY : "give it a heat sink or a fan, and air",
    )];
  }
  if (before) {
    return [warning(
      "throttling",
      value,
      "not now, but since the board was started it was held back",
      `look again under load; if it comes back, cool it, or ${SUPPLY}`,
    )];
  }
  return [good("throttling", value, "no under-voltage, no cap, no heat since the start")];
}

function wifiFindings({ wifi, readable, os }: PowerFacts): Finding[] {
  if (wifi === null) return os === "linux" ? [untold("wifi", readable)] : [];
  if (wifi.length === 0) return [good("wifi", "none", "none is up")];
  return wifi.map(({ name, powerSave }) => {
    const title = `wifi ${name}`;
    if (powerSave === null) {
      return unknown(
        title,
        "whether it saves power is not known",
        readable ? `install iw, then type "iw dev ${name} get power_save"` : ALL_PERMISSIONS,
      );
    }
    if (!powerSave) return good(title, "off", "power save is off");
    return warning(
      title,
      "on",
      "power save is on: packets wait up to 100 ms",
      `type "sudo iw dev ${name} set power_save off"; with NetworkManager make it last with wifi.powersave=2`,
    );
  });
}

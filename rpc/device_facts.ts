/** What nodes tell of their devices, for people to read. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { DeviceFacts } from "../engine/device/facts.ts";
import { type DeviceFacts as WireFacts, DeviceFactsSchema } from "./gen/mdi/v1/control_pb.ts";
import { plainWord } from "./plain_text.ts";

/** What is told of a device; null where it does not tell. */
export interface ToldFacts {
  /** The processor's name. */
  cpu: string | null;
  /** The kernels' build that it runs, and how it reads the dot product's operands. */
  simd: string | null;
  /** Of the warmest sensor, in °C. */
  temperatureC: number | null;
  /** Clock of the fastest core now, in MHz. */
  clockMhz: number | null;
  /** The most that it may have, in MHz. */
  maxClockMhz: number | null;
  /** Bytes of a memory page. */
  pageBytes: number | null;
}

/** What this device tells. */
export function toldFacts({ simd, ...facts }: DeviceFacts): ToldFacts {
  const { cpu, temperatureC, clockMhz, maxClockMhz, pageBytes } = facts;
  return {
    cpu,
    simd: simd && `${simd.build}, ${simd.reading}`,
    temperatureC,
    clockMhz,
    maxClockMhz,
    pageBytes,
  };
}

/** The same for the wire. */
export function factsToWire(facts: DeviceFacts): WireFacts {
  const known = Object.entries(toldFacts(facts)).filter(([, value]) => value !== null);
  return create(
    DeviceFactsSchema,
    Object.fromEntries(known) as MessageInitShape<typeof DeviceFactsSchema>,
  );
}

/** What another node told, safe to print; what is no such number counts as not told. */
export function factsFromWire(facts: WireFacts | undefined): ToldFacts {
  const word = (text: string | undefined) => text === undefined ? null : plainWord(text);
  const number = (value: number | undefined, most: number) =>
    value !== undefined && Math.abs(value) <= most ? value : null;
  return {
    cpu: word(facts?.cpu),
    simd: word(facts?.simd),
    temperatureC: number(facts?.temperatureC, 1000),
    clockMhz: number(facts?.clockMhz, 1e6),
    maxClockMhz: number(facts?.maxClockMhz, 1e6),
    pageBytes: number(facts?.pageBytes, 2 ** 30),
  };
}

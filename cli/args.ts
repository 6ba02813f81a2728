/** The command line: the checks on each value that people may type. */
import { InvalidArgumentError } from "@commander-js/extra-typings";
import { messageOf } from "../wasm/error.ts";
import { type Pace, readPace } from "../wasm/pace.ts";
import { typedPath } from "./typed_path.ts";

/** A file of times is far smaller. */
const MAX_PACE_BYTES = 2 ** 16;

/** A whole number within bounds. */
export function wholeNumber(
  min: number,
  max: number = Number.MAX_SAFE_INTEGER,
): (text: string) => number {
  return (text) => {
    const value = /^-?\d+$/.test(text.trim()) ? Number(text) : NaN;
    if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(
      max === Number.MAX_SAFE_INTEGER
        ? `It must be a whole number of at least ${min}.`
        : `It must be a whole number from ${min} to ${max}.`,
    );
  };
}

/** A number within bounds, written in decimal. */
export function decimalNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^-?(\d+\.?\d*|\.\d+)(e-?\d+)?$/i.test(text.trim()) ? Number(text) : NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a number from ${min} to ${max}.`);
  };
}

/** A seed: 64 bits, in decimal. */
export function seedNumber(text: string): bigint {
  const value = /^\d{1,20}$/.test(text.trim()) ? BigInt(text) : -1n;
  if (value >= 0n && value < 2n ** 64n) return value;
  throw new InvalidArgumentError("It must be a whole number from 0 to 2^64 - 1.");
}

/** Bytes, with an optional unit: 500MB, 2GB, 1.5G. Units are powers of ten. */
export function byteCount(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)b?$/i.exec(text.trim());
  const power = match ? ["", "k", "m", "g", "t"].indexOf(match[2]!.toLowerCase()) : -1;
  const value = match ? Math.floor(Number(match[1]) * 1000 ** power) : 0;
  if (power >= 0 && value > 0 && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError("It must be a number of bytes, like 500MB or 2GB.");
}

/** Numbers of layers, one for each node, or "even"; whether they add up is known once the model is. */
export function layerCounts(text: string): string {
  if (text === "even" || /^\s*\d{1,6}\s*(,\s*\d{1,6}\s*)*$/.test(text)) return text;
  throw new InvalidArgumentError(
    'It must be a number of layers for each node, the starter first, like 12,9,9, or "even".',
  );
}

/** Text that another part of mdi reads; what is wrong with it is said before anything is loaded. */
export function readableBy(read: (text: string) => unknown): (text: string) => string {
  return (text) => {
    try {
      read(text);
      return text;
    } catch (error) {
      throw new InvalidArgumentError(`${messageOf(error)}.`);
    }
  };
}

/** A file with the times of a slower device. */
export function paceFile(typed: string): Pace {
  const path = typedPath(typed);
  try {
    const { size } = Deno.statSync(path);
    if (size > MAX_PACE_BYTES) throw new RangeError(`It has ${size} bytes, and is no pace`);
    return readPace(JSON.parse(Deno.readTextFileSync(path)));
  } catch (error) {
    throw new InvalidArgumentError(`${messageOf(error)}.`);
  }
}

/** Collects an option that may be given several times. */
export function repeated(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

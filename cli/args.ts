/** The command line: what people may type, and the checks on each value. */
import { InvalidArgumentError } from "@commander-js/extra-typings";

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
    throw new InvalidArgumentError(
      max === Infinity
        ? `It must be a number of at least ${min}.`
        : `It must be a number from ${min} to ${max}.`,
    );
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

/** Collects an option that may be given several times. */
export function repeated(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

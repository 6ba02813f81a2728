/** The values that `mdi simulate` takes and no other command has. */
import { InvalidArgumentError } from "@commander-js/extra-typings";
import type { Length } from "../engine/plan/workload.ts";

/** A device that gets slower, as typed. */
export interface TypedThrottle {
  name: string;
  factor: number;
  atMs: number;
}

/** A device that dies, as typed. */
export interface TypedDeath {
  name: string;
  atMs: number;
}

const MOST_TOKENS = 1_000_000;
/** The latest moment that can be named, in seconds: a year. */
const MOST_SECONDS = 31_536_000;

/** A number of tokens, or two between which it is drawn: 200, 50-200. */
export function tokenLength(text: string): Length {
  const [, first, last] = /^\s*(\d{1,7})(?:-(\d{1,7}))?\s*$/.exec(text) ?? [];
  const min = Number(first);
  const max = Number(last ?? first);
  if (min >= 1 && max >= min && max <= MOST_TOKENS) return last === undefined ? min : { min, max };
  throw new InvalidArgumentError(
    `It must be a number of tokens from 1 to ${MOST_TOKENS}, or two of them like 50-200.`,
  );
}

/** Collects `NAME=FACTOR@SECONDS`; with no seconds it is from the start. */
export function throttles(text: string, before: TypedThrottle[] | undefined): TypedThrottle[] {
  const [, name, factor, seconds] = /^(.+)=([\d.]+)(?:@([\d.]+))?$/.exec(text.trim()) ?? [];
  const throttle = { name: name ?? "", factor: Number(factor), atMs: 1000 * Number(seconds ?? 0) };
  if (name !== undefined && throttle.factor >= 1 && throttle.factor <= 1000 && isMoment(throttle)) {
    return [...before ?? [], throttle];
  }
  throw new InvalidArgumentError(
    "It must be a device, how many times slower it gets (1 to 1000), and when, like pi4=3@60.",
  );
}

/** Collects `NAME@SECONDS`. */
export function deaths(text: string, before: TypedDeath[] | undefined): TypedDeath[] {
  const [, name, seconds] = /^(.+)@([\d.]+)$/.exec(text.trim()) ?? [];
  const death = { name: name ?? "", atMs: 1000 * Number(seconds) };
  if (name !== undefined && isMoment(death)) return [...before ?? [], death];
  throw new InvalidArgumentError("It must be a device and a number of seconds, like pi4@60.");
}

function isMoment({ atMs }: { atMs: number }): boolean {
  return atMs >= 0 && atMs <= 1000 * MOST_SECONDS;
}

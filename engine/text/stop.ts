/** Stop strings over a text that arrives in pieces. */

/** What may be shown after a piece, and whether the text has ended. */
export interface StopResult {
  /** Text that is certainly before any stop string. */
  text: string;
  /** Whether a stop string was met; everything pushed later is dropped. */
  stopped: boolean;
}

/** Cuts a streamed text before its first stop string. */
export interface StopFilter {
  /** Takes the next piece of text. */
  push(text: string): StopResult;
  /** Ends the text: what was held back as the possible start of a stop string. */
  flush(): string;
}

/**
 * Makes a filter that passes text on as early as it can and holds back only what may be the start of a
 * stop string. All it passes on is exactly the text before the first stop string, however the text
 * was cut into pieces. First is the one that is complete first, as that is where a generation ends;
 * of those that end together, the longest.
 * @throws {RangeError} for an empty stop string.
 */
export function createStopFilter(stops: readonly string[]): StopFilter {
  if (stops.includes("")) {
    throw new RangeError("Cannot stop at an empty text: give some characters");
  }
  return new HoldingStopFilter(stops);
}

class HoldingStopFilter implements StopFilter {
  readonly #stops: readonly string[];
  #held = "";
  #stopped = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  push(text: string): StopResult {
    if (this.#stopped) return { text: "", stopped: true };
    const pending = this.#held + text;
    const start = firstStop(pending, this.#stops);
    if (start !== -1) {
      this.#stopped = true;
      this.#held = "";
      return { text: pending.slice(0, start), stopped: true };
    }
    const hold = longestStart(pending, this.#stops);
    this.#held = pending.slice(pending.length - hold);
    return { text: pending.slice(0, pending.length - hold), stopped: false };
  }

  flush(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }
}

/** Where the stop string starts that is complete first, -1 for none. */
function firstStop(text: string, stops: readonly string[]): number {
  let start = -1;
  let end = Infinity;
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at === -1) continue;
    const stopEnd = at + stop.length;
    if (stopEnd < end || (stopEnd === end && at < start)) {
      start = at;
      end = stopEnd;
    }
  }
  return start;
}

/** The length of the longest end of the text that is the start of a stop string. */
function longestStart(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(stop.slice(0, length))) longest = length;
    }
  }
  return longest;
}

/**
 * Emulated devices: a stage that answers no sooner than a slower device would. It computes as ever, and then
 * its thread sleeps until the modelled time is over, so calls queue behind one another as on that device.
 *
 * Ends are absolute and each call starts at the modelled end of the one before where it was made by then: what
 * a sleep takes too long is not added up, and a stage that always has work keeps its rate exactly.
 */
import { readRowTimes, type RowTimes, timeOf } from "./row_times.ts";
import type { StageRange } from "./stage.ts";

/** What a device takes, in ms by rows. */
export interface Pace {
  /** One layer. */
  layer: RowTimes;
  /** From token ids to hidden rows, where it is the starter; nothing where absent. */
  embed?: RowTimes;
  /** From hidden rows to logits, where it is the starter; nothing where absent. */
  head?: RowTimes;
}

const PARTS: readonly string[] = ["layer", "embed", "head"] satisfies (keyof Pace)[];

/**
 * Checks a pace as people write it: for "layer", "embed" and "head" the ms of a row, of which r rows take r
 * times as many, or points like `{"rows":[1,8],"ms":[20,60]}`.
 * @throws {RangeError} naming what is wrong first.
 */
export function readPace(json: unknown): Pace {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new RangeError(
      'Cannot use the pace: it is no object; give one like {"layer":20,"embed":0.1,"head":5}',
    );
  }
  const stray = Object.keys(json).find((key) => !PARTS.includes(key));
  if (stray !== undefined) {
    const shown = JSON.stringify(stray.slice(0, 40));
    throw new RangeError(
      `Cannot use the pace: it has ${shown}; give "layer", "embed" and "head" alone`,
    );
  }
  const { layer, embed, head } = json as Partial<Record<string, unknown>>;
  return {
    layer: readRowTimes(layer, "pace.layer"),
    ...(embed !== undefined && { embed: readRowTimes(embed, "pace.embed") }),
    ...(head !== undefined && { head: readRowTimes(head, "pace.head") }),
  };
}

/** When the calls of a stage end on the device that it stands for. */
export class Pacer {
  readonly #pace: Pace;
  readonly #range: StageRange;
  readonly #now: () => number;
  #end = -Infinity;
  #ms = 0;

  /** @param now the time of {@linkcode sharedNow}; tests have their own. */
  constructor(pace: Pace, range: StageRange, now: () => number = sharedNow) {
    this.#pace = pace;
    this.#range = range;
    this.#now = now;
  }

  /** Time of all calls so far, in ms. */
  get ms(): number {
    return this.#ms;
  }

  /** Takes a call of embed and layers in, now. @returns when it ends, by {@linkcode sharedNow}. */
  forward(rows: number): number {
    const { layer, embed } = this.#pace;
    const { layers } = this.#range;
    const count = layers ? layers[1] - layers[0] + 1 : 0;
    return this.#take(
      count * timeOf(layer, rows) + (this.#range.embed && embed ? timeOf(embed, rows) : 0),
    );
  }

  /** Takes a call of head in, now. @returns when it ends, by {@linkcode sharedNow}. */
  head(rows: number): number {
    const { head } = this.#pace;
    return this.#take(head ? timeOf(head, rows) : 0);
  }

  #take(ms: number): number {
    this.#end = Math.max(this.#end, this.#now()) + ms;
    this.#ms += ms;
    return this.#end;
  }
}

/** Milliseconds on a clock that all threads of this process share. */
export function sharedNow(): number {
  return performance.timeOrigin + performance.now();
}

/** Puts this thread, which must not be the main one, to sleep until then. */
export function sleepUntil(end: number): void {
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  const ms = end - sharedNow();
  if (ms > 0) Atomics.wait(nobody, 0, 0, ms);
}

/** What calls took, by their kinds, and what they take as a rule. */

/** What a call took. */
interface MeasuredTime {
  /** Milliseconds. */
  ms: number;
  /** Milliseconds of processors meanwhile. */
  cpuMs: number;
}

/** Times in ms by what was timed. */
export class MeasuredTimes {
  #lists = new Map<string, MeasuredTime[]>();

  /**
   * Takes note of a time.
   * @param cpuMs what the call had of processors.
   */
  add(name: string, ms: number, cpuMs: number): void {
    const list = this.#lists.get(name);
    if (list) list.push({ ms, cpuMs });
    else this.#lists.set(name, [{ ms, cpuMs }]);
  }

  /** What a call takes where nothing disturbs: the lower quartile, as nothing makes calls faster than they are. */
  undisturbed(name: string): number {
    return quantile(times(this.#lists.get(name)!), 0.25);
  }

  /**
   * What a call takes in the long run of a process that has a part of a processor only. Its own time says little
   * of that: it may be over before the process is held back, or wait for what calls before it had too much.
   * @param processors that the process has on average.
   */
  held(name: string, processors: number): number {
    return quantile(this.#lists.get(name)!.map(({ cpuMs }) => cpuMs), 0.5) / processors;
  }

  /**
   * How far apart the times of a kind are as a rule: the median, over these kinds, of the middle half's width
   * as a share of the kind's median.
   * @param leastMs what a clock and a wake-up differ by: so much of a width does not count.
   */
  spread(kinds: RegExp, leastMs: number): number {
    const spreads = [...this.#lists].filter(([name]) => kinds.test(name)).map(([, each]) => {
      const list = times(each);
      const width = quantile(list, 0.75) - quantile(list, 0.25);
      return width <= leastMs ? 0 : (width - leastMs) / quantile(list, 0.5);
    });
    return spreads.length === 0 ? 0 : quantile(spreads, 0.5);
  }

  /** Whether the middle halves of all times of these kinds lie within this share of their medians. */
  agree(kinds: RegExp, share: number): boolean {
    return this.#lists.entries().filter(([name]) => kinds.test(name))
      .every(([, each]) => {
        const list = times(each);
        return quantile(list, 0.75) - quantile(list, 0.25) <= share * quantile(list, 0.5);
      });
  }
}

function times(list: readonly MeasuredTime[]): number[] {
  return list.map(({ ms }) => ms);
}

function quantile(values: readonly number[], at: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = at * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
  return low + (high - low) * (place % 1);
}

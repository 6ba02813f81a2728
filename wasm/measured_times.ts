/** What calls took, by their kinds, and what they take as a rule. */

/** Times in ms by what was timed. */
export class MeasuredTimes {
  #lists = new Map<string, number[]>();

  /** Takes note of a time. */
  add(name: string, ms: number): void {
    const list = this.#lists.get(name);
    if (list) list.push(ms);
    else this.#lists.set(name, [ms]);
  }

  /** The lower quartile. */
  usual(name: string): number {
    return quantile(this.#lists.get(name)!, 0.25);
  }

  /**
   * How far apart the times of a kind are as a rule: the median, over these kinds, of the middle half's width
   * as a share of the kind's median.
   * @param leastMs what a clock and a wake-up differ by: so much of a width does not count.
   */
  spread(kinds: RegExp, leastMs: number): number {
    const spreads = [...this.#lists].filter(([name]) => kinds.test(name)).map(([, list]) => {
      const width = quantile(list, 0.75) - quantile(list, 0.25);
      return width <= leastMs ? 0 : (width - leastMs) / quantile(list, 0.5);
    });
    return spreads.length === 0 ? 0 : quantile(spreads, 0.5);
  }

  /** Whether the middle halves of all times of these kinds lie within this share of their medians. */
  agree(kinds: RegExp, share: number): boolean {
    return this.#lists.entries().filter(([name]) => kinds.test(name))
      .every(([, list]) =>
        quantile(list, 0.75) - quantile(list, 0.25) <= share * quantile(list, 0.5)
      );
  }
}

function quantile(values: readonly number[], at: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = at * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
  return low + (high - low) * (place % 1);
}

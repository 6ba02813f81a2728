/** Fewer of many. */

/** At most so many of the values, evenly chosen; the first and the last are among them. */
export function evenly<T>(values: readonly T[], most: number): T[] {
  if (values.length <= most) return [...values];
  return Array.from(
    { length: most },
    (_, i) => values[Math.round(i * (values.length - 1) / (most - 1))]!,
  );
}

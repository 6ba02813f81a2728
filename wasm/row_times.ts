/** What a frame costs by the number of its rows: a few measured points and what lies between them. */

/** Points measured at some numbers of rows. */
export interface RowTimes {
  /** Rows of a frame, ascending; the first is 1. */
  readonly rows: readonly number[];
  /** Milliseconds that a frame of as many rows takes. */
  readonly ms: readonly number[];
}

/** The most points that are read. */
const MAX_POINTS = 64;
/** The most rows of a point. */
const MAX_ROWS = 65_536;
/** The longest time of a point: an hour. */
const MAX_MS = 3_600_000;

/**
 * Milliseconds of a frame of `rows` rows: linear between the points, beyond the last by the slope of the
 * last two. A single point is proportional to the rows: nothing is gained by more of them.
 */
export function timeOf({ rows: at, ms }: RowTimes, rows: number): number {
  const last = at.length - 1;
  if (last === 0) return ms[0]! * rows / at[0]!;
  let right = at.findIndex((point) => point >= rows);
  if (right === 0) return ms[0]!;
  if (right < 0) right = last;
  const left = right - 1;
  const slope = (ms[right]! - ms[left]!) / (at[right]! - at[left]!);
  // Where measured times fall with more rows, that is noise: it is not carried on.
  return at[right]! < rows
    ? ms[right]! + Math.max(0, slope) * (rows - at[right]!)
    : ms[left]! + slope * (rows - at[left]!);
}

/**
 * Reads a time from JSON: a number of milliseconds for one row, or `{"rows":[1,4],"ms":[2,5]}`.
 *
 * @param field What to call it in messages.
 * @throws {RangeError} where it is neither; the message names the field.
 */
export function readRowTimes(value: unknown, field: string): RowTimes {
  if (typeof value === "number") return { rows: [1], ms: [milliseconds(value, field)] };
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new RangeError(
      `Cannot use ${field}: it is ${shown(value)}; give milliseconds, or {"rows":[1,4],"ms":[2,5]}`,
    );
  }
  const rows = list(Object.hasOwn(value, "rows") ? Reflect.get(value, "rows") : undefined, field);
  const ms = list(Object.hasOwn(value, "ms") ? Reflect.get(value, "ms") : undefined, field);
  if (rows.length !== ms.length) {
    throw new RangeError(
      `Cannot use ${field}: it has ${rows.length} rows and ${ms.length} ms; give as many of each`,
    );
  }
  rows.forEach((row, i) => {
    const rises = i === 0 ? row === 1 : row as number > (rows[i - 1] as number);
    if (Number.isInteger(row) && row as number <= MAX_ROWS && rises) return;
    throw new RangeError(
      `Cannot use ${field}: rows[${i}] is ${shown(row)}; ` +
        `give whole numbers from 1 to ${MAX_ROWS}, the first 1, each larger than the one before`,
    );
  });
  return {
    rows: rows as number[],
    ms: ms.map((each, i) => milliseconds(each, `${field}.ms[${i}]`)),
  };
}

function list(value: unknown, field: string): unknown[] {
  if (Array.isArray(value) && value.length >= 1 && value.length <= MAX_POINTS) return value;
  throw new RangeError(
    `Cannot use ${field}: "rows" and "ms" must be lists of 1 to ${MAX_POINTS} numbers`,
  );
}

function milliseconds(value: unknown, field: string): number {
  if (typeof value === "number" && value >= 0 && value <= MAX_MS) return value;
  throw new RangeError(
    `Cannot use ${field}: it is ${shown(value)}; give milliseconds from 0 to ${MAX_MS}`,
  );
}

/** A value of JSON in a message, cut short. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

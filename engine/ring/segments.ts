/** What frames hold, compared and in words. */
import type { FrameMessage } from "./message.ts";
import type { FrameSegment } from "./schedule.ts";

/** Whether two frames hold the same rows. */
export function sameSegments(
  a: readonly FrameSegment[],
  b: FrameMessage["segments"],
): boolean {
  return a.length === b.length && a.every((segment, i) => {
    const other = b[i]!;
    return segment.sample === other.sample && segment.position === other.position &&
      segment.rows === other.rows && segment.wanted === other.wanted;
  });
}

/** A frame's rows for a message. */
export function describeSegments(
  segments: readonly { sample: number; position: number; rows: number }[],
): string {
  return segments.map(({ sample, position, rows }) =>
    `${rows} rows of sample ${sample} at ${position}`
  )
    .join(", ") || "nothing";
}

/** What every stage asks of a batch before it computes. */
import { MdiError } from "./error.ts";
import type { Segment } from "./stage.ts";

/**
 * Checks that a segment's rows follow what a sample's cache holds.
 * @throws {MdiError} protocol
 */
export function checkSegment<T extends { length: number; capacity: number }>(
  cache: T | undefined,
  { sample, position, rows }: Segment,
): T {
  if (!cache || cache.length !== position) {
    throw new MdiError(
      "protocol",
      `Cannot compute sample ${sample} at position ${position}: its cache ${
        cache ? `holds ${cache.length} tokens` : "is not open"
      }`,
    );
  }
  if (position + rows > cache.capacity) {
    throw new MdiError(
      "protocol",
      `Cannot compute sample ${sample}: ${rows} rows at ${position} exceed its capacity of ${cache.capacity} tokens`,
    );
  }
  return cache;
}

/** Sizes in refusals. */

/** Bytes that are missing or needed, rounded up: "121 MB". */
export function wholeMegabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`;
}

/** Admission: which samples' KV caches every node of the ring has room for. */

/** A node's room for KV caches. */
export interface KvRoom {
  /** Bytes that the node may use for KV caches. */
  memoryBytes: number;
  /** Bytes that one token of one sample takes over all layers of the node; 0 where it has none. */
  kvBytesPerToken: number;
  /** Tokens by which a sample's cache grows, a power of 2. */
  kvPageTokens: number;
}

/** What caches may take together. */
export interface KvLimit {
  /** Tokens of all samples, each of them counted in whole pages. */
  tokens: number;
  /** Tokens of a page. */
  pageTokens: number;
}

/**
 * What every node can hold: the smallest of the nodes' rooms, in the largest of their pages. These are whole
 * numbers of every other node's pages, so what fits by this measure fits everywhere.
 */
export function kvLimit(nodes: readonly KvRoom[]): KvLimit {
  let tokens = Number.MAX_SAFE_INTEGER;
  let pageTokens = 1;
  for (const { memoryBytes, kvBytesPerToken, kvPageTokens } of nodes) {
    if (kvBytesPerToken <= 0) continue;
    tokens = Math.min(tokens, Math.max(0, Math.floor(memoryBytes / kvBytesPerToken)));
    pageTokens = Math.max(pageTokens, kvPageTokens);
  }
  return { tokens: tokens - tokens % pageTokens, pageTokens };
}

/** Tokens that a cache of `capacity` tokens takes: whole pages. */
export function wholePages(capacity: number, pageTokens: number): number {
  return pageTokens * Math.ceil(capacity / pageTokens);
}

/** Counts reserved caches, in whole pages, against what every node can hold. */
export class KvBudget {
  /** Tokens that can be reserved in all: whole pages. */
  readonly tokens: number;
  readonly #pageTokens: number;
  #reserved = 0;
  #peak = 0;

  /** Makes an empty budget. */
  constructor({ tokens, pageTokens }: KvLimit) {
    this.tokens = tokens - tokens % pageTokens;
    this.#pageTokens = pageTokens;
  }

  /** Most tokens reserved at once so far. */
  get peak(): number {
    return this.#peak;
  }

  /** Tokens reserved now. */
  get reserved(): number {
    return this.#reserved;
  }

  /** Tokens that a cache of `capacity` tokens takes: whole pages. */
  roomFor(capacity: number): number {
    return wholePages(capacity, this.#pageTokens);
  }

  /** Reserves a cache of `capacity` tokens where there is room. Returns whether there was. */
  reserve(capacity: number): boolean {
    const tokens = this.roomFor(capacity);
    if (tokens > this.tokens - this.#reserved) return false;
    this.#reserved += tokens;
    this.#peak = Math.max(this.#peak, this.#reserved);
    return true;
  }

  /** Gives back what was reserved for a cache of `capacity` tokens. */
  free(capacity: number): void {
    const tokens = this.roomFor(capacity);
    if (tokens > this.#reserved) {
      throw new RangeError(`Cannot free ${tokens} tokens: only ${this.#reserved} are reserved`);
    }
    this.#reserved -= tokens;
  }
}

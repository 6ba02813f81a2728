/** Admission: which samples' KV caches every node of the ring has room for. */

/** A node's room for KV caches. */
export interface KvRoom {
  /** Bytes that the node may use for KV caches. */
  memoryBytes: number;
  /** Bytes that one token of one sample takes over all layers of the node; 0 where it has none. */
  kvBytesPerToken: number;
}

/** Tokens that every node can hold: the smallest of the nodes' rooms. */
export function kvTokens(nodes: readonly KvRoom[]): number {
  let tokens = Number.MAX_SAFE_INTEGER;
  for (const { memoryBytes, kvBytesPerToken } of nodes) {
    if (kvBytesPerToken > 0) {
      tokens = Math.min(tokens, Math.max(0, Math.floor(memoryBytes / kvBytesPerToken)));
    }
  }
  return tokens;
}

/** Counts reserved tokens against what every node can hold. */
export class KvBudget {
  /** Tokens that can be reserved in all. */
  readonly tokens: number;
  #reserved = 0;
  #peak = 0;

  /** Makes an empty budget. */
  constructor(tokens: number) {
    this.tokens = tokens;
  }

  /** Most tokens reserved at once so far. */
  get peak(): number {
    return this.#peak;
  }

  /** Tokens reserved now. */
  get reserved(): number {
    return this.#reserved;
  }

  /** Reserves `tokens` where there is room. Returns whether there was. */
  reserve(tokens: number): boolean {
    if (tokens > this.tokens - this.#reserved) return false;
    this.#reserved += tokens;
    this.#peak = Math.max(this.#peak, this.#reserved);
    return true;
  }

  /** Gives back what was reserved. */
  free(tokens: number): void {
    if (tokens > this.#reserved) {
      throw new RangeError(`Cannot free ${tokens} tokens: only ${this.#reserved} are reserved`);
    }
    this.#reserved -= tokens;
  }
}

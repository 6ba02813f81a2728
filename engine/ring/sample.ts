/** What the starter holds of one sample: its token ids, its limit and how it ended. */

/** Why a sample ended: an end token or a stop string, its limit, or its user. */
export type FinishReason = "stop" | "length" | "cancel";

/** What a sample is made from. */
export interface SampleOptions {
  /** Id of the sample in the ring. */
  id: number;
  /** The prompt's token ids; at least one. */
  prompt: ArrayLike<number>;
  /** How many tokens it may generate; at least one. */
  limit: number;
  /** Token ids that end it; none where end tokens are ignored. */
  endTokens: readonly number[];
}

/** How many ids two sequences have in common from their start. */
export function commonPrefix(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const length = Math.min(a.length, b.length);
  let same = 0;
  while (same < length && a[same] === b[same]) same++;
  return same;
}

/**
 * One sequence being generated: a prompt and the ids drawn after it, one behind the other. A chat's
 * next turn is the same sample with another prompt.
 */
export class Sample {
  /** Id of the sample in the ring. */
  readonly id: number;
  readonly #endTokens: readonly number[];
  #ids = new Int32Array(0);
  #length = 0;
  #promptLength = 0;
  #limit = 0;
  #finish: FinishReason | null = null;

  /**
   * Makes a sample before its first token.
   * @throws {RangeError} where the prompt is empty or the limit is below 1.
   */
  constructor(options: SampleOptions) {
    this.id = options.id;
    this.#endTokens = options.endTokens;
    this.nextTurn(options.prompt, options.limit);
  }

  /** Number of ids, the prompt's and the generated ones. */
  get length(): number {
    return this.#length;
  }

  /** Number of the prompt's ids. */
  get promptLength(): number {
    return this.#promptLength;
  }

  /** Number of ids generated since the prompt. */
  get generated(): number {
    return this.#length - this.#promptLength;
  }

  /** Tokens that its caches must hold: prompt and limit. */
  get capacity(): number {
    return this.#promptLength + this.#limit;
  }

  /** Why it ended; null while it runs. */
  get finish(): FinishReason | null {
    return this.#finish;
  }

  /** The ids from `start` to `end` (exclusive) as a view that the next token may leave behind. */
  ids(start = 0, end: number = this.#length): Int32Array {
    return this.#ids.subarray(start, Math.min(end, this.#length));
  }

  /**
   * Appends a generated id.
   * @returns why the sample ended with it, or null where it goes on.
   * @throws {TypeError} where the sample has ended.
   */
  append(id: number): FinishReason | null {
    if (this.#finish !== null) {
      throw new TypeError(`Cannot append to sample ${this.id}: it ended (${this.#finish})`);
    }
    if (this.#length === this.#ids.length) this.#grow(this.#length + 1);
    this.#ids[this.#length++] = id;
    if (this.#endTokens.includes(id)) this.#finish = "stop";
    else if (this.generated >= this.#limit) this.#finish = "length";
    return this.#finish;
  }

  /** Ends the sample for a reason that its ids do not show. The first reason stays. */
  end(reason: FinishReason): void {
    this.#finish ??= reason;
  }

  /**
   * Replaces the ids by the prompt of a chat's next turn.
   * @returns how many ids it has in common with what was there.
   * @throws {RangeError} where the prompt is empty or the limit is below 1.
   */
  nextTurn(prompt: ArrayLike<number>, limit: number): number {
    if (prompt.length === 0) {
      throw new RangeError(`Cannot start sample ${this.id}: its prompt has no tokens`);
    }
    if (!Number.isInteger(limit) || limit < 1) {
      throw new RangeError(`Cannot start sample ${this.id}: a limit of ${limit} tokens is below 1`);
    }
    const kept = commonPrefix(this.ids(), prompt);
    if (prompt.length > this.#ids.length) this.#grow(prompt.length);
    this.#ids.set(prompt);
    this.#length = this.#promptLength = prompt.length;
    this.#limit = limit;
    this.#finish = null;
    return kept;
  }

  #grow(length: number): void {
    const grown = new Int32Array(Math.max(64, length, 2 * this.#ids.length));
    grown.set(this.#ids);
    this.#ids = grown;
  }
}

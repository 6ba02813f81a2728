/** Finds the largest logits in the kernels' memory, so that a row of them need not leave it. */
import { type Candidates, markNaN, MAX_CANDIDATES } from "../candidates.ts";
import type { KernelMemory } from "./memory.ts";
import type { Kernels } from "./module.ts";

/** Selects from rows of one length; its memory is taken once. */
export class CandidateSelector {
  readonly #memory: KernelMemory;
  readonly #kernels: Kernels;
  readonly #vocab: number;
  /** What topK needs for the largest count: i32 ids, f32 logits, and 8 bytes of scratch for each. */
  readonly #ids: number;
  readonly #logits: number;
  readonly #scratch: number;

  /** @throws {MdiError} memory */
  constructor(memory: KernelMemory, kernels: Kernels, vocab: number) {
    const count = Math.min(vocab, MAX_CANDIDATES);
    this.#memory = memory;
    this.#kernels = kernels;
    this.#vocab = vocab;
    this.#ids = memory.take(4 * count);
    this.#logits = memory.take(4 * count);
    this.#scratch = memory.take(8 * count);
  }

  /** Fills one row of candidates from the row of logits at an address. */
  select(address: number, row: Candidates): void {
    const found = row.count === 1 ? this.#one(address, row) : this.#several(address, row);
    if (!found) markNaN(this.#memory.floats(address, this.#vocab), row);
  }

  #one(address: number, { ids, logits }: Candidates): boolean {
    const id = this.#kernels.argMax(address, this.#vocab);
    if (id < 0) return false;
    ids[0] = id;
    logits.set(this.#memory.floats(address + 4 * id, 1));
    return true;
  }

  #several(address: number, { count, ids, logits }: Candidates): boolean {
    const [atIds, atLogits] = [this.#ids, this.#logits];
    const found = this.#kernels.topK(address, this.#vocab, count, atIds, atLogits, this.#scratch);
    if (found === 0) return false;
    ids.set(this.#memory.words.subarray(atIds / 4, atIds / 4 + count));
    logits.set(this.#memory.floats(atLogits, count));
    return true;
  }
}

/**
 * How far a product may be from the exact one, for tests: derived from what the kernels do, for each kind of
 * weights. Shares no code with them.
 *
 * With u = 2^-24 and γ(n) = n·u / (1 - n·u), which bounds what n roundings make of a term (Higham, Accuracy and
 * Stability of Numerical Algorithms, lemma 3.1):
 *
 * - **Quantising.** A block of 32 activations with the largest magnitude A becomes codes
 *   q = round(x · fl(127 / A)) and s = fl(A / 127). The quotient and the product before the rounding are off
 *   by 2u of at most 127 together, so |q - x · 127 / A| ≤ 1/2 + 254u; s is off by u of A / 127, and |q| ≤ 127.
 *   So |x - q·s| ≤ A / 127 · (1/2 + 381u), and with what is of the second order 400u. The sum over a block errs by
 *   that times Σ|w|. Weights of floating point take activations as they are.
 * - **Rounding.** Sums of products of codes are exact integers below 2^24. A block adds at most two terms to a sum
 *   (two halves, or codes and minima), of at most six products each; eight blocks that share a scale add
 *   two terms more to an outer sum instead of their own. Then come bias and what is there. Every term
 *   so has at most 2 · blocks + 8 roundings; in floating point k + 3. Powers of two round nothing. Terms are what
 *   codes give without their offset, and what offset or minimum give: Σ(|w - w₀| + |w₀|)|x|, where w₀ is the
 *   weight whose code is 0. That is more than Σ|w||x|, because the two cancel.
 */
import * as abi from "./abi.ts";
import { groupBytes } from "./packed_layout.ts";
import { unpackWeight } from "./_unpack.ts";

const U = 2 ** -24;

/** Bytes of the codes of a block of 32 for 16 rows. */
export function codeBytes(kind: number): number {
  return 64 * (kind < abi.Q5_H ? 4 : kind < abi.Q6_K ? 5 : kind < abi.Q8_H ? 6 : 8);
}

/** Where the blocks of packed weights begin, in bytes, for kinds with codes. */
export function* blockStarts(kind: number, packed: Uint8Array): Generator<number> {
  const shared = kind === abi.Q4_K || kind === abi.Q5_K ? 64 : kind === abi.Q6_K ? 32 : 0;
  const step = shared > 0 ? codeBytes(kind) + 32 : groupBytes(kind, 32);
  let at = 0;
  for (let block = 1; at < packed.length; block++, at += step) {
    yield at;
    if (block % 8 === 0) at += shared;
  }
}

/** Weights as they are by definition, and what products with them may err. */
export class LinearError {
  /** [n, k]. */
  readonly weights: Float64Array;
  readonly #bases: Float64Array;
  readonly #k: number;
  readonly #isFloat: boolean;

  /** Packed weights [n, k]. */
  constructor(kind: number, packed: Uint8Array, n: number, k: number) {
    const unpacked = (bytes: Uint8Array) =>
      Float64Array.from(
        { length: n * k },
        (_, i) => unpackWeight(kind, bytes, k, i / k | 0, i % k),
      );
    this.#k = k;
    this.#isFloat = kind < abi.Q4_H;
    this.weights = unpacked(packed);
    const bases = packed.slice();
    if (this.#isFloat) bases.fill(0);
    else for (const at of blockStarts(kind, packed)) bases.fill(0, at, at + codeBytes(kind));
    this.#bases = unpacked(bases);
  }

  /** The exact product of a row of activations with row `n`. */
  exact(x: ArrayLike<number>, n: number): number {
    let sum = 0;
    for (let i = 0; i < this.#k; i++) sum += x[i]! * this.weights[n * this.#k + i]!;
    return sum;
  }

  /** What f32 may add to the error of the product, where `beside` is the size of what is added to it. */
  rounding(x: ArrayLike<number>, n: number, beside: number): number {
    let size = beside;
    for (let i = 0; i < this.#k; i++) {
      const weight = this.weights[n * this.#k + i]!;
      const base = this.#bases[n * this.#k + i]!;
      size += (Math.abs(weight - base) + Math.abs(base)) * Math.abs(x[i]!);
    }
    const roundings = this.#isFloat ? this.#k + 3 : 2 * this.#k / 32 + 8;
    return roundings * U / (1 - roundings * U) * size;
  }

  /** What activations as 8-bit codes may add to it. */
  quantising(x: ArrayLike<number>, n: number): number {
    if (this.#isFloat) return 0;
    let error = 0;
    for (let i = 0; i < this.#k; i++) {
      error += activationError(x, i) * Math.abs(this.weights[n * this.#k + i]!);
    }
    return error;
  }

  /** What both may add to it, for activations that have not been quantised yet. */
  whole(x: ArrayLike<number>, n: number, beside: number): number {
    if (this.#isFloat) return this.rounding(x, n, beside);
    const seen = Float64Array.from(x, (v, i) => Math.abs(v) + activationError(x, i));
    return this.rounding(seen, n, beside) + this.quantising(x, n);
  }
}

/** How far activation i may be from its code times its scale. */
function activationError(x: ArrayLike<number>, i: number): number {
  let largest = 0;
  for (let j = i & ~31; j < (i | 31) + 1; j++) largest = Math.max(largest, Math.abs(x[j]!));
  return largest / 127 * (0.5 + 400 * U);
}

/**
 * The random numbers of the sampler: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom
 * number generators", OOPSLA 2014), a Weyl sequence behind a 64-bit finaliser. It is all integer
 * arithmetic, so a stream is the same on every machine; one token takes one number, so that BigInt
 * costs about a microsecond a token.
 */

/** The odd number next to 2^64 divided by the golden ratio: the step of the Weyl sequence. */
const GAMMA = 0x9e3779b97f4a7c15n;

/** The finaliser of SplitMix64 (David Stafford's "Mix13"): a bijection of the 64-bit numbers. */
function mix(value: bigint): bigint {
  let z = value;
  z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}

/** SplitMix64 from a given state. */
export class SplitMix64 {
  #state: bigint;

  /** Starts at a state, of which the low 64 bits count. */
  constructor(state: bigint) {
    this.#state = BigInt.asUintN(64, state);
  }

  /** The next 64 bits. */
  nextUint64(): bigint {
    this.#state = BigInt.asUintN(64, this.#state + GAMMA);
    return mix(this.#state);
  }

  /** The next number of [0, 1), a multiple of 2^-53. */
  nextFloat(): number {
    return Number(this.nextUint64() >> 11n) * 2 ** -53;
  }
}

/**
 * The stream (seed, k). Its start is the k-th output of the generator that the seed starts, mixed once
 * more, so that the streams of a seed lie at unrelated places of the period of 2^64.
 */
export function randomStream(seed: bigint, stream: number): SplitMix64 {
  const origin = mix(BigInt.asUintN(64, seed + GAMMA));
  return new SplitMix64(mix(BigInt.asUintN(64, origin + BigInt(stream) * GAMMA)));
}

/** A seed of 53 bits from the system's entropy, so that it also survives as a JSON number. */
export function randomSeed(): bigint {
  return crypto.getRandomValues(new BigUint64Array(1))[0]! >> 11n;
}

/**
 * Stages for the tests of driver and relay that compute something small which depends on every row of
 * a cache, in order: a wrong or stale row anywhere gives other tokens. Also rings of them in one process.
 */
import { type Candidates, takeCandidates } from "../../wasm/candidates.ts";
import type { Batch, Stage, StageInfo } from "../../wasm/stage.ts";
import { AsyncQueue } from "../async_queue.ts";
import { createSampler } from "../text/sampler.ts";
import { resolveSampling, type SamplingRequest } from "../text/sampling_options.ts";
import { RingDriver, type Turn, type TurnRequest, type TurnResult } from "./driver.ts";
import type { RingMessage } from "./message.ts";
import { relay } from "./relay.ts";
import type { SchedulerConfig } from "./schedule.ts";
import { createScheduler } from "./scheduler.ts";

/** Token ids are below it. */
export const VOCAB = 13;

/** A stage whose hidden rows have one value: a hash of all rows of the cache so far. */
export class HashStage implements Stage {
  readonly info: StageInfo = {
    backend: "hash",
    backendReason: null,
    threads: 1,
    weightBytes: 0,
    kvBytesPerToken: 4,
    kvPageTokens: 1,
    kv: "f32",
    notes: [],
  };
  /** Set, what `forward` waits for before it answers. */
  gate: Promise<void> | undefined;
  readonly #caches = new Map<number, number[]>();

  open(sample: number): void {
    if (!this.#caches.has(sample)) this.#caches.set(sample, []);
  }

  truncate(sample: number, length: number): void {
    const cache = this.#cache(sample);
    if (length > cache.length) throw new RangeError(`truncate ${cache.length} rows to ${length}`);
    cache.length = length;
  }

  release(sample: number): void {
    this.#caches.delete(sample);
  }

  async forward({ segments, ids, hidden }: Batch): Promise<Float32Array> {
    const rows: ArrayLike<number> = ids ?? hidden!;
    const out = new Float32Array(rows.length);
    let row = 0;
    for (const { sample, position, rows: count } of segments) {
      const cache = this.#cache(sample);
      if (position !== cache.length) throw new RangeError(`${position} is not ${cache.length}`);
      for (const end = row + count; row < end; row++) {
        // Integers below 2^24: a float holds them.
        cache.push(out[row] = ((cache.at(-1) ?? 7) * 131 + rows[row]! + 1) % 99_991);
      }
    }
    await this.gate;
    return out;
  }

  logits(hidden: Float32Array): Promise<Float32Array> {
    const out = new Float32Array(hidden.length * VOCAB);
    for (let i = 0; i < out.length; i++) {
      out[i] = (hidden[Math.floor(i / VOCAB)]! * (2 * (i % VOCAB) + 3)) % 101;
    }
    return Promise.resolve(out);
  }

  async candidates(hidden: Float32Array, count: number): Promise<Candidates> {
    return takeCandidates(await this.logits(hidden), VOCAB, count);
  }

  computeMs(): number {
    return 0;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  #cache(sample: number): number[] {
    const cache = this.#caches.get(sample);
    if (!cache) throw new RangeError(`sample ${sample} has no cache`);
    return cache;
  }
}

/** How a {@linkcode hashRing} is linked. */
export interface HashRingOptions {
  /** What each message of the starter waits for. */
  sending?: () => Promise<void>;
}

/** A ring of hash stages, its relays in this process. */
export function hashRing(
  config: Partial<SchedulerConfig> = {},
  { sending = () => Promise.resolve() }: HashRingOptions = {},
) {
  const nodes = config.nodes ?? 1;
  const links = Array.from({ length: nodes }, () => new AsyncQueue<RingMessage>());
  const stage = new HashStage();
  const send = (link: AsyncQueue<RingMessage>) => (message: RingMessage) =>
    Promise.resolve(link.push(structuredClone(message)));
  const driver = new RingDriver({
    stage,
    scheduler: createScheduler({
      nodes,
      slots: 4,
      chunk: 4,
      kvTokens: 1000,
      queueLimit: 8,
      ...config,
    }),
    ...(nodes > 1 && {
      port: {
        async send(message: RingMessage) {
          await sending();
          await send(links[0]!)(message);
        },
        input: links[nodes - 1]!,
      },
    }),
    epoch: 1,
    dModel: 1,
    vocab: VOCAB,
  });
  for (let node = 1; node < nodes; node++) {
    relay({
      stage: new HashStage(),
      dModel: 1,
      last: node === nodes - 1,
      input: links[node - 1]!,
      output: { send: send(links[node]!) },
    }).catch((error) => driver.fail(error));
  }
  return { driver, stage };
}

/** A turn and what it came to. */
export function begin(
  prompt: readonly number[],
  limit: number,
  start: (request: TurnRequest) => Turn,
  sampling: SamplingRequest = { greedy: true },
): Turn & { result: Promise<TurnResult> } {
  const { promise, resolve, reject } = Promise.withResolvers<TurnResult>();
  promise.catch(() => {}); // not every test looks
  const turn = start({
    prompt,
    limit,
    endTokens: [],
    sampler: createSampler(resolveSampling(sampling, {})),
    accept: () => false,
    ended: (outcome) => outcome instanceof Error ? reject(outcome) : resolve(outcome),
  });
  return { ...turn, result: promise };
}

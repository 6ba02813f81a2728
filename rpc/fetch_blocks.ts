/**
 * Brings the blocks that this node's store lacks, from the nodes of the ring that have them. A block
 * comes in pieces of 128 kB, goes on where a broken attempt ended, and counts only when its hash is right.
 */
import { createClient } from "@connectrpc/connect";
import { MdiError, messageOf } from "../wasm/error.ts";
import { systemClock } from "../engine/clock.ts";
import type { BlockEntry } from "../engine/model/types.ts";
import type { Pin } from "../engine/store/pin.ts";
import type { Store } from "../engine/store/store.ts";
import { type Address, formatAddress } from "./address.ts";
import { fromConnectError } from "./error.ts";
import { Control } from "./gen/mdi/v1/control_pb.ts";
import type { RingIdentity } from "./identity.ts";
import { openSession, type Session } from "./session.ts";

/** Attempts at one block before the node gives up, over all providers. */
const ATTEMPTS = 4;
/** Pause before the second attempt; doubled for each one after it. */
const PAUSE_MS = 250;

/** What {@linkcode fetchBlocks} needs. */
export interface FetchOptions {
  store: Store;
  identity: RingIdentity | undefined;
  /** Nodes that may have blocks, best first. */
  providers: readonly Address[];
  /** Keeps what came. */
  pin: Pin;
  signal: AbortSignal;
  /** Told the bytes that are there, of all blocks that were missing. */
  onProgress(done: number, total: number): void;
}

/**
 * Fetches every block that is missing.
 * @returns bytes received.
 * @throws {MdiError} disk, peer_unreachable, model_corrupt, cancelled
 */
export async function fetchBlocks(
  blocks: readonly BlockEntry[],
  options: FetchOptions,
): Promise<number> {
  const { store, pin, signal } = options;
  await pin.add(...blocks.map((block) => block.hash));
  const missing = await store.missing(blocks);
  if (missing.length === 0) return 0;
  const total = missing.reduce((sum, block) => sum + block.bytes, 0);
  await store.ensureRoom(total, `${missing.length} blocks`);
  await using providers = new Providers(options);
  const holders = await providers.holders(missing);
  let received = 0;
  let done = 0;
  for (const block of missing) {
    signal.throwIfAborted();
    await fetchBlock(block, holders.get(block.hash)!, providers, options, (bytes, offset) => {
      received += bytes;
      options.onProgress(done + offset, total);
    });
    done += block.bytes;
  }
  return received;
}

async function fetchBlock(
  block: BlockEntry,
  holders: readonly Address[],
  providers: Providers,
  options: FetchOptions,
  onBytes: (bytes: number, offset: number) => void,
): Promise<void> {
  const { store, pin, signal } = options;
  let failure: unknown = providers.nobodyHasIt();
  for (let attempt = 0; attempt < ATTEMPTS && holders.length > 0; attempt++) {
    if (attempt > 0) await systemClock.sleep(PAUSE_MS * 2 ** (attempt - 1), { signal });
    const provider = holders[attempt % holders.length]!;
    try {
      await using writer = await store.writer(block.hash, block.bytes, { pin, signal });
      // The last byte counts, not how the call ends: under Deno a whole answer may end in an error.
      if (writer.resumeOffset < block.bytes) {
        for await (const piece of providers.fetch(provider, block.hash, writer.resumeOffset)) {
          await writer.write(piece);
          onBytes(piece.length, writer.resumeOffset);
          if (writer.resumeOffset === block.bytes) break;
        }
      }
      await writer.commit();
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof MdiError && error.code === "disk") throw error;
      failure = error;
      providers.drop(provider);
    }
  }
  const code = failure instanceof MdiError ? failure.code : "peer_unreachable";
  throw new MdiError(
    code,
    `Cannot fetch block ${block.name} (${block.hash.slice(0, 12)}): ${messageOf(failure)}`,
    {
      cause: failure,
      details: { block: block.name, hash: block.hash },
    },
  );
}

/** One connection to each provider, opened when it is first needed. */
class Providers implements AsyncDisposable {
  #options: FetchOptions;
  #sessions = new Map<string, Session>();
  /** Closings of the connections that failed. */
  #dropped: PromiseLike<void>[] = [];
  /** Why a provider did not say what it has: the last one. */
  #unasked: MdiError | undefined;

  constructor(options: FetchOptions) {
    this.#options = options;
  }

  /** For each block the providers that have it, in the order given. */
  async holders(blocks: readonly BlockEntry[]): Promise<Map<string, Address[]>> {
    const { providers, signal } = this.#options;
    const hashes = blocks.map((block) => block.hash);
    const answers = await Promise.all(providers.map(async (address) => {
      try {
        const { present } = await this.#client(address).has({ hashes }, {
          signal,
          timeoutMs: 5000,
        });
        return present;
      } catch (error) {
        signal.throwIfAborted();
        this.#unasked = fromConnectError(error, formatAddress(address));
        return []; // it is asked for nothing then
      }
    }));
    return new Map(
      hashes.map((hash, i) => [hash, providers.filter((_, p) => answers[p]![i] === true)]),
    );
  }

  /** Why a block without holders cannot be had. */
  nobodyHasIt(): MdiError {
    const cause = this.#unasked;
    const known = "no node of the ring has it";
    return new MdiError(
      "peer_unreachable",
      cause ? `${known}, or none that answers; ${cause.message}` : known,
      { cause },
    );
  }

  /** A block's bytes from an offset on. */
  async *fetch(address: Address, hash: string, offset: number): AsyncGenerator<Uint8Array> {
    const ending = new AbortController();
    const signal = AbortSignal.any([this.#options.signal, ending.signal]);
    try {
      const answers = this.#client(address).fetch({ hash, offset: BigInt(offset) }, { signal });
      const pieces = answers[Symbol.asyncIterator]();
      while (true) {
        const { done, value } = await pieces.next();
        if (done) return;
        yield value.data;
      }
    } catch (error) {
      throw fromConnectError(error, formatAddress(address));
    } finally {
      // Not by return(), which does not end the call and waits for ever where its connection is gone.
      ending.abort();
    }
  }

  /** Forgets a connection that failed. */
  drop(address: Address): void {
    const key = formatAddress(address);
    const session = this.#sessions.get(key);
    if (session) this.#dropped.push(session[Symbol.asyncDispose]());
    this.#sessions.delete(key);
  }

  #client(address: Address) {
    const key = formatAddress(address);
    let session = this.#sessions.get(key);
    if (session?.error) this.drop(address);
    if (!session || session.error) {
      const { identity, signal } = this.#options;
      session = openSession(address, { identity, signal });
      this.#sessions.set(key, session);
    }
    return createClient(Control, session.transport);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closing = [...this.#sessions.values()].map((session) => session.close({ graceMs: 100 }));
    await Promise.all([...closing, ...this.#dropped]);
  }
}

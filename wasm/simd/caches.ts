/** The KV caches of a stage's samples: pages of 64 positions, taken as they are needed. */
import { checkSegment } from "../check_segment.ts";
import type { Segment } from "../stage.ts";
import { PAGE } from "./abi.ts";
import type { KernelMemory } from "./memory.ts";

/** Where page tables have room for at least this many pages: it doubles as a sample grows. */
const LEAST_TABLE = 16;

interface Cache {
  /** Tokens held. */
  length: number;
  /** Tokens that it may hold. */
  capacity: number;
  /** Addresses of its pages in order. */
  pages: number[];
  /** Address of the same list in memory, and how many it has room for. */
  table: number;
  room: number;
}

/** The caches of all samples of a stage. */
export class KvCaches {
  #memory: KernelMemory;
  #pageBytes: number;
  #caches = new Map<number, Cache>();

  /** @param pageBytes bytes of 64 positions over all layers of the stage. */
  constructor(memory: KernelMemory, pageBytes: number) {
    this.#memory = memory;
    this.#pageBytes = pageBytes;
  }

  /** Makes a sample's cache, or changes its capacity in tokens. */
  open(sample: number, capacity: number): void {
    const cache = this.#caches.get(sample);
    if (cache) cache.capacity = capacity;
    else this.#caches.set(sample, { length: 0, capacity, pages: [], table: 0, room: 0 });
  }

  /** Keeps a sample's first `length` tokens. */
  truncate(sample: number, length: number): void {
    const cache = this.#caches.get(sample);
    if (!cache || length >= cache.length) return;
    cache.length = length;
    this.#shrink(cache, Math.ceil(length / PAGE));
  }

  /** Frees a sample's cache. */
  release(sample: number): void {
    const cache = this.#caches.get(sample);
    if (!cache) return;
    this.#shrink(cache, 0);
    if (cache.room > 0) this.#memory.give(cache.table, 4 * cache.room);
    this.#caches.delete(sample);
  }

  /**
   * Takes the pages for a segment's rows. The tokens count only after advance().
   * @returns address of the sample's page table.
   * @throws {MdiError} protocol where the rows do not follow the cache; memory
   */
  reserve({ sample, position, rows }: Segment): number {
    const cache = checkSegment(this.#caches.get(sample), { sample, position, rows });
    const needed = Math.ceil((position + rows) / PAGE);
    if (needed > cache.room) this.#growTable(cache, needed);
    while (cache.pages.length < needed) {
      const page = this.#memory.take(this.#pageBytes);
      this.#memory.words[cache.table / 4 + cache.pages.length] = page;
      cache.pages.push(page);
    }
    return cache.table;
  }

  /** The rows of a segment are in the cache now. */
  advance({ sample, position, rows }: Segment): void {
    this.#caches.get(sample)!.length = position + rows;
  }

  #shrink(cache: Cache, pages: number): void {
    for (const page of cache.pages.splice(pages)) this.#memory.give(page, this.#pageBytes);
  }

  #growTable(cache: Cache, needed: number): void {
    let room = Math.max(LEAST_TABLE, cache.room);
    while (room < needed) room *= 2;
    const table = this.#memory.take(4 * room);
    this.#memory.words.set(cache.pages, table / 4);
    if (cache.room > 0) this.#memory.give(cache.table, 4 * cache.room);
    cache.table = table;
    cache.room = room;
  }
}

/** The one memory that a stage's threads share, and who has which part of it. */
import { MdiError, messageOf } from "../error.ts";
import { CONTROL_END } from "./abi.ts";

const WASM_PAGE = 65536;
/** 4 GB: where wasm32 ends. */
const MAX_WASM_PAGES = 65536;
/** Everything starts at a multiple of this: a cache line. */
const ALIGNMENT = 64;

/**
 * A shared WebAssembly memory. What lives as long as the stage is taken from its end; what comes and goes
 * (pages of caches) is kept by size when it is given back, and used again.
 */
export class KernelMemory {
  readonly memory: WebAssembly.Memory;
  #end = CONTROL_END;
  #free = new Map<number, number[]>();
  #bytes!: Uint8Array<SharedArrayBuffer>;
  #floats!: Float32Array<SharedArrayBuffer>;
  #words!: Int32Array<SharedArrayBuffer>;

  constructor() {
    this.memory = new WebAssembly.Memory({ initial: 2, maximum: MAX_WASM_PAGES, shared: true });
    this.#look();
  }

  /** Bytes in use, given back or not. */
  get end(): number {
    return this.#end;
  }

  /**
   * Takes zeroed bytes for as long as the stage lives, or until give().
   * @throws {MdiError} memory
   */
  take(bytes: number): number {
    const size = Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    const again = this.#free.get(size)?.pop();
    if (again !== undefined) {
      this.#bytes.fill(0, again, again + size);
      return again;
    }
    const address = this.#end;
    const missing = address + size - this.#bytes.length;
    if (missing > 0) this.#grow(Math.ceil(missing / WASM_PAGE), size);
    this.#end += size;
    return address;
  }

  /** Gives back what take() gave. */
  give(address: number, bytes: number): void {
    const size = Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    const list = this.#free.get(size);
    if (list) list.push(address);
    else this.#free.set(size, [address]);
  }

  /** The bytes at an address. */
  bytes(address: number, length: number): Uint8Array<SharedArrayBuffer> {
    return this.#bytes.subarray(address, address + length);
  }

  /** The f32 values at an address. */
  floats(address: number, length: number): Float32Array<SharedArrayBuffer> {
    return this.#floats.subarray(address >>> 2, (address >>> 2) + length);
  }

  /** All of it as i32, by address / 4. */
  get words(): Int32Array<SharedArrayBuffer> {
    return this.#words;
  }

  #grow(pages: number, bytes: number): void {
    try {
      this.memory.grow(pages);
    } catch (cause) {
      throw new MdiError(
        "memory",
        `Cannot take ${bytes} bytes beyond the ${this.#end} in use: ${
          messageOf(cause)
        }; give this node fewer layers, or fewer and shorter samples`,
        { cause },
      );
    }
    this.#look();
  }

  #look(): void {
    const buffer = this.memory.buffer as unknown as SharedArrayBuffer;
    this.#bytes = new Uint8Array(buffer);
    this.#floats = new Float32Array(buffer);
    this.#words = new Int32Array(buffer);
  }
}

/** Builds the kernels' test entry and gives tests a memory to call it on. */
import { createHash } from "node:crypto";
import { testBuild } from "./_test_build.ts";
import type { KernelBuild } from "./module.ts";

/** The kernels that are not matrix products, as AssemblyScript exports them; addresses are bytes. */
export interface TestKernels {
  expRow(p: number, n: number): void;
  halfRow(p: number, n: number, out: number): void;
  rmsNorm(x: number, gamma: number, k: number, eps: number, outF: number, outQ: number): void;
  headNorm(x: number, gamma: number, d: number, eps: number): void;
  rotate(
    x: number,
    out: number,
    cos: number,
    sin: number,
    d: number,
    half: number,
    scale: number,
  ): void;
  storeKey(type: number, key: number, chunk: number, slot: number, d: number): void;
  storeValue(type: number, value: number, chunk: number, slot: number, d: number): void;
  attendPage(
    type: number,
    q: number,
    r: number,
    d: number,
    chunk: number,
    first: number,
    count: number,
    scratch: number,
    out: number,
  ): void;
  mergePage(state: number, partial: number, r: number, d: number): void;
  finishHeads(state: number, r: number, d: number, out: number): void;
  swigluBlock(gate: number, up: number, codes: number, scales: number): void;
  swigluFloat(gate: number, up: number, out: number): void;
  argMax(p: number, n: number): number;
  topK(p: number, n: number, k: number, ids: number, values: number, scratch: number): number;
}

/** Kernels over a memory of their own. */
export class KernelBench {
  readonly kernels: TestKernels;
  readonly #memory: WebAssembly.Memory;
  #next = 65536;

  constructor(kernels: TestKernels, memory: WebAssembly.Memory) {
    this.kernels = kernels;
    this.#memory = memory;
  }

  /** Puts values into the memory, at a multiple of 64 bytes, and returns their address. */
  put(values: ArrayLike<number>): number {
    const address = this.room(values.length * 4);
    this.floats(address, values.length).set(values);
    return address;
  }

  /** Address of so many bytes, filled with NaNs so that a read of what nobody wrote shows. */
  room(bytes: number): number {
    const address = this.#next;
    this.#next += Math.ceil(bytes / 64) * 64 + 64;
    if (this.#next > this.#memory.buffer.byteLength) throw new RangeError("The bench is full");
    this.bytes(address, this.#next - address).fill(0xff);
    return address;
  }

  /** Forgets all that was put there. */
  clear(): void {
    this.#next = 65536;
  }

  floats(address: number, length: number): Float32Array {
    return new Float32Array(this.#memory.buffer, address, length);
  }

  ints(address: number, length: number): Int32Array {
    return new Int32Array(this.#memory.buffer, address, length);
  }

  bytes(address: number, length: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, address, length);
  }
}

/** Both builds, each over 16 MB. */
export async function openBenches(): Promise<[KernelBench, KernelBench]> {
  return await Promise.all([openBench("relaxed"), openBench("plain")]);
}

async function openBench(build: KernelBuild): Promise<KernelBench> {
  const memory = new WebAssembly.Memory({ initial: 256, maximum: 65536, shared: true });
  const module = await WebAssembly.compile(await testBuild("_others_test_entry.ts", build));
  const instance = await WebAssembly.instantiate(module, { env: { memory } });
  return new KernelBench(instance.exports as unknown as TestKernels, memory);
}

/** Numbers of [-1, 1) from a seed, the same on every host; sums of four are near a normal distribution. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const mixed = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d);
    return ((mixed ^ (mixed >>> 13)) >>> 0) / 2 ** 31 - 1;
  };
}

/** n numbers near N(0, scale²), as f32. */
export function randomRow(random: () => number, n: number, scale = 1): Float32Array {
  return Float32Array.from(
    { length: n },
    () => (random() + random() + random()) * scale,
  );
}

/** sha256 of bytes, in hex, its first 16 digits. */
export function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes.slice()).digest("hex").slice(0, 16);
}

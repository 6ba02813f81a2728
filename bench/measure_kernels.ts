/**
 * What each kind of packed weights costs in the kernels: products of 1, 4 and 32 rows with weights that no cache
 * holds, on one thread, all kinds interleaved.
 */
import { KINDS, type LinearKernels } from "../wasm/simd/_linear_kernels.ts";
import { Q4_H } from "../wasm/simd/abi.ts";
import type { KernelBuild } from "../wasm/simd/module.ts";
import { groupBytes } from "../wasm/simd/packed_layout.ts";

const K = 1024;
const ROWS = [1, 4, 32] as const;
const MAX_ROWS = 32;
/** Bytes of weights, of whatever kind: more than caches hold. */
const WEIGHTS = 64 << 20;
// Addresses: f32 rows, quantised rows, weights, outputs.
const X = 65536;
const QUANTISED = X + MAX_ROWS * K * 4;
const W = QUANTISED + MAX_ROWS * K * 4;
const Y = W + WEIGHTS;

/** What one kind of weights cost with so many rows. */
export interface KernelCost {
  kind: string;
  /** 0 where weights were only read. */
  rows: number;
  /** Multiplications with an addition, a call. */
  products: number;
  /** Bytes of weights, a call. */
  bytes: number;
  /** Of each round. */
  ms: number[];
}

/** How {@linkcode measureKernels} goes about it. */
export interface MeasureKernelsOptions {
  build: KernelBuild;
  rounds: number;
  /**
   * Bytes of weights of a call, up to the default.
   * @default {64 MiB}
   */
  bytes?: number;
  /** A module whose `readAll(address, bytes)` only reads; the first cost is its, where it is given. */
  readLoop?: Uint8Array<ArrayBuffer>;
}

/** Measures all kinds; the reading is how this host takes 8-bit operands (`probe()` in wasm/simd/module.ts). */
export async function measureKernels(
  { build, rounds, bytes = WEIGHTS, readLoop }: MeasureKernelsOptions,
): Promise<{ reading: number; costs: KernelCost[] }> {
  const memory = new WebAssembly.Memory({ initial: 3072, maximum: 65536, shared: true });
  const { linear, probe, quantiseRow } = open<LinearKernels>(
    await Deno.readFile(new URL(`../wasm/simd/kernels_${build}.wasm`, import.meta.url)),
    memory,
  );
  const read = readLoop && open<{ readAll(p: number, n: number): number }>(readLoop, memory);
  fill(memory, bytes);
  for (let r = 0; r < MAX_ROWS; r++) quantiseRow(X + 4 * K * r, QUANTISED + 3 / 2 * K * r, K);

  const reading = probe();
  const costs: KernelCost[] = [];
  if (read) costs.push({ kind: "read", rows: 0, products: 0, bytes, ms: [] });
  for (const rows of ROWS) {
    for (const [kind] of KINDS) costs.push({ kind, rows, products: 0, bytes: 0, ms: [] });
  }
  for (let round = 0; round <= rounds; round++) {
    for (const cost of costs) {
      const kind = KINDS.find(([name]) => name === cost.kind)?.[1];
      const start = performance.now();
      if (kind === undefined) {
        read!.readAll(W, bytes);
      } else {
        // More rows, fewer weights: as long for a call.
        const size = groupBytes(kind, K);
        const groups = Math.floor(bytes / size / Math.ceil(cost.rows / 2));
        const [x, stride] = kind < Q4_H ? [X, 4 * K] : [QUANTISED, 3 / 2 * K];
        linear(kind, reading, W, x, stride, Y, groups * 64, cost.rows, K, 0, groups, 0, 0);
        cost.products = cost.rows * groups * 16 * K;
        cost.bytes = groups * size;
      }
      if (round > 0) cost.ms.push(performance.now() - start); // the first round warms up
    }
  }
  return { reading, costs };
}

function open<T>(bytes: Uint8Array<ArrayBuffer>, memory: WebAssembly.Memory): T {
  const env = { memory, now: () => performance.now(), abort: () => {} };
  return new WebAssembly.Instance(new WebAssembly.Module(bytes), { env }).exports as T;
}

/** Activations, and bytes that are weights of every kind: 0x2c makes ordinary f16, bf16 and f32 scales. */
function fill(memory: WebAssembly.Memory, bytes: number): void {
  const x = new Float32Array(memory.buffer, X, MAX_ROWS * K);
  for (let i = 0; i < x.length; i++) x[i] = Math.sin(i);
  const w = new Uint8Array(memory.buffer, W, bytes);
  for (let i = 0; i < w.length; i += 2) {
    w[i] = Math.imul(i, 0x9e3779b1) >>> 24;
    w[i + 1] = 0x2c;
  }
}

/**
 * What each kind of packed weights costs: products of 1, 4 and 32 rows with weights that no cache holds, against
 * reading as many bytes and doing nothing with them. One thread, all kinds interleaved in one process.
 *
 *     deno run -A bench/kernel_bench.ts [relaxed|plain]
 */
import { join } from "node:path";
import { buildKernels } from "../wasm/simd/_build.ts";
import { KINDS, type LinearKernels } from "../wasm/simd/_linear_kernels.ts";
import { Q4_H } from "../wasm/simd/abi.ts";
import { groupBytes } from "../wasm/simd/packed_layout.ts";
import { keep, print } from "./report.ts";
import { median } from "./statistics.ts";

const ROUNDS = 7;
const K = 1024;
const ROWS = [1, 4, 32] as const;
const MAX_ROWS = 32;
/** Bytes of weights, of whatever kind. */
const WEIGHTS = 64 << 20;
// Addresses: f32 rows, quantised rows, weights, outputs.
const X = 65536;
const QUANTISED = X + MAX_ROWS * K * 4;
const W = QUANTISED + MAX_ROWS * K * 4;
const Y = W + WEIGHTS;

interface Cost {
  kind: string;
  rows: number;
  /** Multiplications with an addition, a call. */
  products: number;
  /** Bytes of weights, a call. */
  bytes: number;
  ms: number[];
}

await main(Deno.args[0] ?? "relaxed");

async function main(build: string): Promise<void> {
  const memory = new WebAssembly.Memory({ initial: 3072, maximum: 65536, shared: true });
  const { linear, probe, quantiseRow } = open<LinearKernels>(
    await Deno.readFile(new URL(`../wasm/simd/kernels_${build}.wasm`, import.meta.url)),
    memory,
  );
  const { readAll } = open<{ readAll(p: number, n: number): number }>(await readLoop(), memory);
  fill(memory);
  for (let r = 0; r < MAX_ROWS; r++) quantiseRow(X + 4 * K * r, QUANTISED + 3 / 2 * K * r, K);

  const reading = probe();
  const costs: Cost[] = [{ kind: "read", rows: 0, products: 0, bytes: WEIGHTS, ms: [] }];
  for (const rows of ROWS) {
    for (const [kind] of KINDS) costs.push({ kind, rows, products: 0, bytes: 0, ms: [] });
  }
  for (let round = 0; round <= ROUNDS; round++) {
    for (const cost of costs) {
      const kind = KINDS.find(([name]) => name === cost.kind)?.[1];
      const start = performance.now();
      if (kind === undefined) {
        readAll(W, WEIGHTS);
      } else {
        // More rows, fewer weights: as long for a call.
        const size = groupBytes(kind, K);
        const groups = Math.floor(WEIGHTS / size / Math.ceil(cost.rows / 2));
        const [x, stride] = kind < Q4_H ? [X, 4 * K] : [QUANTISED, 3 / 2 * K];
        linear(kind, reading, W, x, stride, Y, groups * 64, cost.rows, K, 0, groups, 0, 0);
        cost.products = cost.rows * groups * 16 * K;
        cost.bytes = groups * size;
      }
      if (round > 0) cost.ms.push(performance.now() - start); // the first round warms up
    }
  }
  for (const cost of costs) await print(describe(cost, costs[0]!));
  await keep("kernels", { build, reading, costs });
}

function open<T>(bytes: Uint8Array<ArrayBuffer>, memory: WebAssembly.Memory): T {
  const env = { memory, now: () => performance.now(), abort: () => {} };
  return new WebAssembly.Instance(new WebAssembly.Module(bytes), { env }).exports as T;
}

async function readLoop(): Promise<Uint8Array<ArrayBuffer>> {
  const folder = await Deno.makeTempDir({ prefix: "mdi_bench_" });
  try {
    const out = join(folder, "read.wasm");
    await buildKernels({ entry: "_read_entry.ts", relaxed: false, out });
    return await Deno.readFile(out);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Activations, and bytes that are weights of every kind: 0x2c makes ordinary f16, bf16 and f32 scales. */
function fill(memory: WebAssembly.Memory): void {
  const x = new Float32Array(memory.buffer, X, MAX_ROWS * K);
  for (let i = 0; i < x.length; i++) x[i] = Math.sin(i);
  const w = new Uint8Array(memory.buffer, W, WEIGHTS);
  for (let i = 0; i < w.length; i += 2) {
    w[i] = Math.imul(i, 0x9e3779b1) >>> 24;
    w[i + 1] = 0x2c;
  }
}

function describe({ kind, rows, products, bytes, ms }: Cost, read: Cost): string {
  const perSecond = (amount: number) => amount / median(ms) / 1e6;
  const ofReading = perSecond(bytes) / (read.bytes / median(read.ms) / 1e6);
  const speed = `${perSecond(bytes).toFixed(1)} GB/s`.padStart(10);
  if (rows === 0) return `reading alone: ${speed}`;
  const billions = `${perSecond(products).toFixed(1)} GMAC/s`.padStart(12);
  const share = `${(100 * ofReading).toFixed(0)} % of reading`;
  return `${kind.padEnd(6)} ${String(rows).padStart(2)} rows: ${billions}, ${speed}, ${share}`;
}

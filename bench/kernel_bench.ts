/**
 * What each kind of packed weights costs: products of 1, 4 and 32 rows with weights that no cache holds, against
 * reading as many bytes and doing nothing with them. One thread, all kinds interleaved in one process.
 *
 *     deno run -A bench/kernel_bench.ts [relaxed|plain]
 */
import { join } from "node:path";
import { buildKernels } from "../wasm/simd/_build.ts";
import { type KernelCost, measureKernels } from "./measure_kernels.ts";
import { keep, print } from "./report.ts";
import { median } from "./statistics.ts";

const ROUNDS = 7;

await main(Deno.args[0] === "plain" ? "plain" : "relaxed");

async function main(build: "relaxed" | "plain"): Promise<void> {
  const { reading, costs } = await measureKernels({
    build,
    rounds: ROUNDS,
    readLoop: await readLoop(),
  });
  for (const cost of costs) await print(describe(cost, costs[0]!));
  await keep("kernels", { build, reading, costs });
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

function describe({ kind, rows, products, bytes, ms }: KernelCost, read: KernelCost): string {
  const perSecond = (amount: number) => amount / median(ms) / 1e6;
  const ofReading = perSecond(bytes) / (read.bytes / median(read.ms) / 1e6);
  const speed = `${perSecond(bytes).toFixed(1)} GB/s`.padStart(10);
  if (rows === 0) return `reading alone: ${speed}`;
  const billions = `${perSecond(products).toFixed(1)} GMAC/s`.padStart(12);
  const share = `${(100 * ofReading).toFixed(0)} % of reading`;
  return `${kind.padEnd(6)} ${String(rows).padStart(2)} rows: ${billions}, ${speed}, ${share}`;
}

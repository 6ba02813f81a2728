/** The machine that a result is measured on. */
import { deviceFacts } from "../engine/device/facts.ts";
import { VERSION } from "../rpc/version.ts";
import type { BenchMachine } from "../cli/report/bench_result.ts";

/** Describes this one. */
export async function describeMachine(): Promise<BenchMachine> {
  const { cpu, cores, simd } = await deviceFacts();
  return {
    date: new Date().toISOString(),
    arch: Deno.build.arch,
    os: Deno.build.os,
    cpu,
    cores,
    memoryBytes: Deno.systemMemoryInfo().total,
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    mdi: VERSION,
    simd: simd?.build ?? "none",
    dotProduct: simd?.reading ?? "none",
    load: Deno.loadavg(),
  };
}

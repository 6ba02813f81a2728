/** How far this host's WebAssembly SIMD goes. */
import { READS_I8, READS_U8 } from "./abi.ts";
import { KernelMemory } from "./memory.ts";
import { compileKernels, instantiateKernels, type KernelBuild } from "./module.ts";

/** What the kernels found of a host. */
export interface SimdLevel {
  /** The kernels' build that it runs. */
  build: KernelBuild;
  /** sha256 of that build in hex. */
  version: string;
  /** How it reads 8-bit operands of the dot product; "saturating" is the slow way, see README.md. */
  reading: "unsigned" | "signed" | "saturating";
}

/** Asks the host; null where it has no WebAssembly SIMD. */
export async function simdLevel(): Promise<SimdLevel | null> {
  const compiled = await compileKernels();
  if (!compiled) return null;
  const { build, version, module } = compiled;
  const reading = instantiateKernels(module, new KernelMemory().memory).probe();
  return {
    build,
    version,
    reading: reading === READS_U8 ? "unsigned" : reading === READS_I8 ? "signed" : "saturating",
  };
}

/** The kernels' two builds, and which of them this host can run. */
import { createHash } from "node:crypto";
import { MdiError, messageOf } from "../error.ts";
import { checkAsset } from "../single_file.ts";

/** "relaxed" uses the dot product of relaxed SIMD, "plain" does without it; both give the same bits. */
export type KernelBuild = "relaxed" | "plain";

/** Kernels, compiled. */
export interface CompiledKernels {
  build: KernelBuild;
  module: WebAssembly.Module;
  /** sha256 of their bytes in hex: other kernels have other bytes. */
  version: string;
}

/** What the kernels export; addresses are bytes in the shared memory. README.md has the layouts. */
export interface Kernels {
  /** Runs a program as thread 0; DONE or THREAD_LOST. */
  run(ops: number, count: number, claims: number, rows: number, threads: number): number;
  /** The life of another thread. */
  serve(thread: number): void;
  /** Ends serve() in every thread. */
  stop(): void;
  /** How this host reads 8-bit operands of the dot product: READS_U8, READS_I8 or SATURATES. */
  probe(): number;
  /** Flips the top bits of packed 8-bit codes. */
  flip8(kind: number, address: number, groups: number, k: number): void;
  /** Index of the first largest of n floats; -1 where one is NaN. */
  argMax(address: number, n: number): number;
  /** The k largest of n floats, by falling value, then rising index; returns how many, 0 where one is NaN. */
  topK(
    address: number,
    n: number,
    k: number,
    indices: number,
    values: number,
    scratch: number,
  ): number;
}

/** Compiles the build that this host can run, or the one that is asked for; undefined where there is none. */
export async function compileKernels(build?: KernelBuild): Promise<CompiledKernels | undefined> {
  for (const each of build ? [build] : ["relaxed", "plain"] as const) {
    const bytes = await readModule(each);
    if (!WebAssembly.validate(bytes)) continue;
    const version = createHash("sha256").update(bytes).digest("hex");
    return { build: each, module: await WebAssembly.compile(bytes), version };
  }
  return undefined;
}

/** Makes an instance for one thread. */
export function instantiateKernels(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
): Kernels {
  const env = {
    memory,
    now: () => performance.now(),
    abort: () => {
      throw new MdiError("internal", "The kernels met an impossible state");
    },
  };
  return new WebAssembly.Instance(module, { env }).exports as unknown as Kernels;
}

async function readModule(build: KernelBuild): Promise<Uint8Array<ArrayBuffer>> {
  const url = new URL(`./kernels_${build}.wasm`, import.meta.url);
  const bytes = await readFile(url);
  checkAsset(url, bytes);
  return bytes;
}

async function readFile(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  try {
    if (url.protocol === "file:") return await Deno.readFile(url);
    return new Uint8Array(await (await fetch(url)).arrayBuffer());
  } catch (cause) {
    throw new MdiError("internal", `Cannot read the kernels at ${url}: ${messageOf(cause)}`, {
      cause,
    });
  }
}

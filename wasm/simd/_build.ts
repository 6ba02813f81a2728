/**
 * Builds the kernels: `deno task build:kernels` writes `kernels_relaxed.wasm` and `kernels_plain.wasm`, with
 * `--check` it compares them with a build of their sources instead.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** One build of an entry file. */
export interface KernelsBuild {
  /** The entry, in `kernels/`. */
  entry: string;
  /** Whether it may use relaxed SIMD. */
  relaxed: boolean;
  /** Where the module goes. */
  out: string;
}

const ASSEMBLYSCRIPT = "assemblyscript@0.28.20";
const FOLDER = fileURLToPath(new URL(".", import.meta.url));

/** The committed builds. */
const BUILDS: readonly { name: string; relaxed: boolean }[] = [
  { name: "kernels_relaxed.wasm", relaxed: true },
  { name: "kernels_plain.wasm", relaxed: false },
];

/**
 * The compiler's own levels move constants into loops and nest the chains of dot products, which costs a third
 * of the speed; these passes only take out what its front end leaves over.
 */
const PASSES = [
  "vacuum",
  "remove-unused-brs",
  "remove-unused-names",
  "merge-blocks",
  "coalesce-locals",
  "vacuum",
];

/**
 * Compiles an entry of `kernels/` with AssemblyScript.
 * @throws {Error} with the compiler's report.
 */
export async function buildKernels({ entry, relaxed, out }: KernelsBuild): Promise<void> {
  const { success, stderr } = await new Deno.Command("npx", {
    args: [
      ...["-y", "-p", ASSEMBLYSCRIPT, "asc", entry, "-o", out],
      ...["--enable", relaxed ? "simd,relaxed-simd,threads" : "simd,threads"],
      ...["--importMemory", "--sharedMemory", "--initialMemory", "2", "--maximumMemory", "65536"],
      ...["--memoryBase", "16384", "--runtime", "stub", "--noAssert"],
      ...["--transform", "../_build_transform.mjs"],
      ...["--optimizeLevel", "0", "--runPasses", PASSES.join(",")],
    ],
    cwd: join(FOLDER, "kernels"),
  }).output();
  if (!success) throw new Error(`Cannot build ${entry}: ${new TextDecoder().decode(stderr)}`);
}

/** Names of the committed modules whose bytes are not those of a build of their sources. */
async function staleBuilds(): Promise<string[]> {
  const folder = await Deno.makeTempDir({ prefix: "mdi_kernels_" });
  try {
    const stale: string[] = [];
    for (const { name, relaxed } of BUILDS) {
      const out = join(folder, name);
      await buildKernels({ entry: "index.ts", relaxed, out });
      const [built, committed] = await Promise.all([Deno.readFile(out), readIfThere(name)]);
      const same = built.length === committed.length &&
        built.every((byte, i) => byte === committed[i]);
      if (!same) stale.push(name);
    }
    return stale;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function readIfThere(name: string): Promise<Uint8Array> {
  try {
    return await Deno.readFile(join(FOLDER, name));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return new Uint8Array();
    throw error;
  }
}

if (import.meta.main) {
  if (Deno.args.includes("--check")) {
    const stale = await staleBuilds();
    if (stale.length > 0) {
      throw new Error(
        `${stale.join(", ")} are not what their sources make; run deno task build:kernels`,
      );
    }
  } else {
    for (const { name, relaxed } of BUILDS) {
      await buildKernels({ entry: "index.ts", relaxed, out: join(FOLDER, name) });
    }
  }
}

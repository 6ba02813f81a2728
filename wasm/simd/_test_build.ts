/** Builds of the kernels' test entries, made once for the same sources. */
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildKernels } from "./_build.ts";
import type { KernelBuild } from "./module.ts";

const FOLDER = fileURLToPath(new URL("kernels", import.meta.url));

/**
 * The module of an entry of `kernels/`, kept in the system's temporary directory by the hash of all sources.
 * @throws {Error} with the compiler's report.
 */
export async function testBuild(
  entry: string,
  build: KernelBuild,
): Promise<Uint8Array<ArrayBuffer>> {
  const name = entry.replace(/^_|\.ts$/g, "");
  const file = join(tmpdir(), `mdi_${name}_${build}_${await sourcesHash()}.wasm`);
  try {
    return await Deno.readFile(file);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  // Tests run side by side: each writes a file of its own, and the last name wins.
  const partial = `${file}.${crypto.randomUUID()}`;
  await buildKernels({ entry, relaxed: build === "relaxed", out: partial });
  await Deno.rename(partial, file);
  return await Deno.readFile(file);
}

async function sourcesHash(): Promise<string> {
  const names = await Array.fromAsync(Deno.readDir(FOLDER), ({ name }) => name);
  const hash = createHash("sha256");
  for (const name of ["../_build.ts", "../_build_transform.mjs", "../abi.ts", ...names.sort()]) {
    hash.update(name).update(await Deno.readFile(join(FOLDER, name)));
  }
  return hash.digest("hex").slice(0, 16);
}

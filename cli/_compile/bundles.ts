/** Everything that goes into a single file, flat in one folder: bundles, WebAssembly modules and `build.json`. */
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { SingleFile } from "../../wasm/single_file.ts";

/** The entry's bundle. */
export const ENTRY = "mdi.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const MAIN = "cli/main.ts";
/** Threads: each is loaded by its own name. */
const WORKERS = [
  "wasm/worker.ts",
  "wasm/simd/pool_worker.ts",
  "wasm/simd/reference_worker.ts",
  "engine/import_worker.ts",
];
const ORT = "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded";
/** What the bundles read. Deno 2.7 resolves the imports of a .wasm that it includes, so they have another name. */
const FILES = {
  "kernels_plain.bin": "wasm/simd/kernels_plain.wasm",
  "kernels_relaxed.bin": "wasm/simd/kernels_relaxed.wasm",
  "ort-wasm-simd-threaded.bin": `${ORT}.wasm`,
  "ort-wasm-simd-threaded.mjs": `${ORT}.mjs`,
};
/** File times are inside what is compiled. */
const FILE_TIME = new Date("2026-01-01T00:00:00Z");

/**
 * Fills a folder, and returns the names in it besides the entry's.
 * @param about how the file is made; its assets are what is found here.
 */
export async function writeBundles(
  folder: string,
  about: Omit<SingleFile, "assets">,
): Promise<string[]> {
  const bundleOf = (source: string) => bundle(source, join(folder, outputOf(source)));
  // The first alone: where Deno has no bundler yet it fetches one, and two at once take each other's files.
  await bundleOf(MAIN);
  const bundles = WORKERS.map(bundleOf);
  const copies = Object.entries(FILES).map(([name, source]) =>
    Deno.copyFile(join(ROOT, source), join(folder, name))
  );
  await Promise.all([...bundles, ...copies]);
  const loaded = [...WORKERS.map(outputOf), ...Object.keys(FILES)].sort();
  const assets: SingleFile["assets"] = {};
  for (const name of loaded) assets[name] = await sha256(join(folder, name));
  await Deno.writeTextFile(
    join(folder, "build.json"),
    JSON.stringify({ ...about, assets } satisfies SingleFile, null, 2) + "\n",
  );
  const included = [...loaded, "build.json"];
  for (const name of [ENTRY, ...included]) {
    await Deno.chmod(join(folder, name), 0o644);
    await Deno.utime(join(folder, name), FILE_TIME, FILE_TIME);
  }
  await Deno.utime(folder, FILE_TIME, FILE_TIME);
  return included;
}

/** sha256 of a file, in hex. */
export async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  using file = await Deno.open(path);
  for await (const chunk of file.readable) hash.update(chunk);
  return hash.digest("hex");
}

async function bundle(source: string, path: string): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--minify", "--platform", "deno", "--output", path, source],
    cwd: ROOT,
    stdin: "null",
  }).output();
  if (!success) {
    throw new Error(`Cannot bundle ${source}: ${new TextDecoder().decode(stderr)}`);
  }
  await Deno.writeTextFile(path, flatten(await Deno.readTextFile(path)));
}

/**
 * Turns the names of files beside a source into their names in the folder.
 * @throws {Error} where one is left that is not there: the bundler left it as it was.
 */
export function flatten(code: string): string {
  const flat = code
    .replaceAll(/"\.\/(\w+)\.ts",import\.meta\.url/g, (_, name) => `"./${name}.js",import.meta.url`)
    .replaceAll(/(`\.\/kernels_\$\{\w+\})\.wasm`/g, "$1.bin`")
    .replaceAll('"onnxruntime-web/ort-wasm-simd-threaded.wasm"', '"./ort-wasm-simd-threaded.bin"')
    .replaceAll(/import\.meta\.resolve\("\.\.?\/main\.ts"\)/g, `import.meta.resolve("./${ENTRY}")`);
  const known = [ENTRY, ...WORKERS.map(outputOf), ...Object.keys(FILES), "build.json"];
  const named = flat.matchAll(/(?:new URL|import\.meta\.resolve)\(([`"])([^`"]*)\1(?:,import|\))/g);
  for (const [, , name] of named) {
    if (/^\.\/kernels_\$\{\w+\}\.bin$/.test(name!) || !/^\.\.?\/|\.(ts|wasm)$/.test(name!)) {
      continue;
    }
    if (!known.includes(name!.replace("./", ""))) {
      throw new Error(`Cannot bundle: ${name} is loaded by its name, and is not among ${known}`);
    }
  }
  return flat;
}

function outputOf(source: string): string {
  return source === MAIN ? ENTRY : `${basename(source, ".ts")}.js`;
}

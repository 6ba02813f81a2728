/**
 * `deno task compile`: one file for each kind of machine, with everything inside.
 *
 *     deno task compile [--target x86_64-linux,aarch64-linux] [--out dist] [--deno PATH] [--self-extracting]
 *
 * The file may do all that its user may (`--allow-all`): what a role needs differs, and a compiled file has one set
 * of permissions; `mdi service` and the like narrow it from outside. Each step is the same for the same sources, so
 * two builds have the same bytes. Where there is no denort, a file that unpacks a pinned Deno is made instead.
 */
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "../../wasm/error.ts";
import { sha256, writeBundles } from "./bundles.ts";
import {
  compile,
  type Compiler,
  denortSource,
  findCompiler,
  innermostCause,
  isUnavailable,
} from "./denort.ts";
import { PINNED_DENO, selfExtracting } from "./self_extracting.ts";
import { fileName, findTarget, type Target, TARGETS } from "./targets.ts";

const print = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));

const TARGETS_ASKED = "x86_64-linux,aarch64-linux";

const USAGE = `Usage: deno task compile [options]

Makes one file with all of mdi inside for each kind of machine.

  --target <names>   ${TARGETS.slice(0, 3).map(({ name }) => name).join(", ")},
                     ${TARGETS.slice(3).map(({ name }) => name).join(", ")}, with commas between
                     (default: ${TARGETS_ASKED})
  --out <folder>     where they go, with SHA256SUMS (default: dist)
  --deno <path>      the Deno that compiles (default: the one that runs this)
  --self-extracting  files that unpack a Deno of PyPI; they are made also where
                     Deno's own runtime (denort) cannot be downloaded
  -h, --help         print this help`;

async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      target: { type: "string", default: TARGETS_ASKED },
      out: { type: "string", default: "dist" },
      deno: { type: "string", default: Deno.execPath() },
      "self-extracting": { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    print(USAGE);
    return;
  }
  const targets = values.target.split(",").map((name) => {
    const target = findTarget(name);
    if (target) return target;
    throw new RangeError(
      `There is no target ${name}: ${TARGETS.map((each) => each.name).join(", ")}`,
    );
  });
  if (Deno.env.has("DENORT_BIN") && targets.length > 1) {
    throw new RangeError("$DENORT_BIN is for one target; say which with --target");
  }
  const out = resolve(values.out);
  await Deno.mkdir(out, { recursive: true });
  const compiler = await findCompiler(values.deno);
  for (const target of targets) {
    const path = join(out, fileName(target));
    const how = values["self-extracting"]
      ? await makeSelfExtracting(target, path)
      : await makeEither(compiler, target, path);
    const { size } = await Deno.stat(path);
    print(`${path}: ${how}; ${(size / 1e6).toFixed(1)} MB`);
  }
  await writeSums(out);
}

async function makeEither(compiler: Compiler, target: Target, path: string): Promise<string> {
  const source = await denortSource(compiler, target);
  // Deno writes over what it compiled itself, and over nothing else: not over a self-extracting file.
  await Deno.remove(path).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  try {
    await withBundles(
      { made: "deno compile", deno: compiler.version, target: target.triple },
      (folder, included) => compile(compiler, target, folder, included, path),
    );
    return `deno compile, ${source}`;
  } catch (error) {
    // A release is of denort or not at all; only where none can be had is the other form made.
    const said = messageOf(error);
    if (!isUnavailable(said)) throw error;
    print(
      `Cannot get denort ${compiler.version} for ${target.triple}: ${
        innermostCause(said)
      }; making the self-extracting file instead`,
    );
    return await makeSelfExtracting(target, path);
  }
}

async function makeSelfExtracting(target: Target, path: string): Promise<string> {
  await withBundles(
    { made: "self-extracting", deno: PINNED_DENO, target: target.triple },
    (folder, included) => selfExtracting(target, folder, included, path),
  );
  return `self-extracting, Deno ${PINNED_DENO} of PyPI`;
}

async function withBundles(
  about: Parameters<typeof writeBundles>[1],
  use: (folder: string, included: string[]) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "mdi-compile-" });
  try {
    await use(folder, await writeBundles(folder, about));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Writes what `sha256sum --check SHA256SUMS` reads, for all files of the folder. */
async function writeSums(folder: string): Promise<void> {
  const names: string[] = [];
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (isFile && name.startsWith("mdi-")) names.push(name);
  }
  const lines: string[] = [];
  for (const name of names.sort()) lines.push(`${await sha256(join(folder, name))}  ${name}\n`);
  await Deno.writeTextFile(join(folder, "SHA256SUMS"), lines.join(""));
}

if (import.meta.main) {
  try {
    await main(Deno.args);
  } catch (error) {
    Deno.stderr.writeSync(new TextEncoder().encode(`compile: ${messageOf(error)}\n`));
    Deno.exitCode = 1;
  }
}

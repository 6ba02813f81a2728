/** `deno compile`, and which denort it takes: the runtime that the program is appended to. */
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { RUNTIME_FLAGS } from "../permissions.ts";
import { ENTRY } from "./bundles.ts";
import { fitsLargePages, padToLargePages } from "./elf.ts";
import type { Target } from "./targets.ts";

/** A Deno that compiles. */
export interface Compiler {
  /** Its path. */
  deno: string;
  version: string;
  /** Its cache, where downloads of denort are kept. */
  cache: string;
}

/** Asks a Deno for its version and cache. */
export async function findCompiler(deno: string): Promise<Compiler> {
  const [version, info] = await Promise.all([
    run(deno, ["eval", "--no-config", "console.log(Deno.version.deno)"]),
    run(deno, ["info", "--json", "--no-config"]),
  ]);
  return { deno, version: version.trim(), cache: JSON.parse(info).denoDir };
}

/** Where denort for a target will come from, in words. */
export async function denortSource(compiler: Compiler, target: Target): Promise<string> {
  const given = Deno.env.get("DENORT_BIN");
  if (given) return `denort of $DENORT_BIN, ${given}`;
  const kept = await Deno.stat(archivePath(compiler, target)).catch(() => null);
  return kept ? `denort ${compiler.version} of $DENO_DIR` : `denort ${compiler.version} downloaded`;
}

/**
 * Compiles the bundles of a folder.
 * @throws {Error} with what Deno said, where there is no denort to be had among others.
 */
export async function compile(
  compiler: Compiler,
  target: Target,
  folder: string,
  included: readonly string[],
  path: string,
): Promise<void> {
  const args = [
    ...["compile", "--quiet", "--no-check", "--no-config", "--no-lock", "--allow-all"],
    ...RUNTIME_FLAGS,
    ...["--target", target.triple, "--output", path],
    ...included.flatMap((name) => ["--include", name]),
    ENTRY,
  ];
  await run(compiler.deno, args, { cwd: folder });
  if (target.os !== "linux" || fitsLargePages(await Deno.readFile(path))) return;
  const padded = await Deno.makeTempFile();
  try {
    const denort = await readDenort(compiler, target);
    await Deno.writeFile(padded, padToLargePages(denort), { mode: 0o755 });
    await run(compiler.deno, args, { cwd: folder, env: { DENORT_BIN: padded } });
  } finally {
    await Deno.remove(padded);
  }
  if (!fitsLargePages(await Deno.readFile(path))) {
    throw new Error(
      `${path} would not start where pages are of 16 or 64 KB: its last segments share one`,
    );
  }
}

function archivePath({ cache, version }: Compiler, { triple }: Target): string {
  return join(cache, `dl/release/v${version}/denort-${triple}.zip`);
}

async function readDenort(compiler: Compiler, target: Target): Promise<Uint8Array> {
  const given = Deno.env.get("DENORT_BIN");
  if (given) return await Deno.readFile(given);
  const folder = await Deno.makeTempDir();
  try {
    await run("python3", ["-m", "zipfile", "-e", archivePath(compiler, target), folder]);
    return await Deno.readFile(join(folder, "denort"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Whether what Deno says of a failure is that denort could not be had; paths in it may say anything. */
export function isUnavailable(text: string): boolean {
  return /setting up base binary|error sending request|(dns|client) error|\bdownload(ing)? (http|failed|could)/i
    .test(text);
}

/** The innermost cause in what Deno says of a failure, in one line. */
export function innermostCause(text: string): string {
  const lines = text.split("\n").map((line) => line.trim());
  const causes = lines.slice(lines.indexOf("Caused by:") + 1);
  const listed = causes.filter((line) => /^\d+: /.test(line));
  const found = listed.at(-1) ?? causes.find((line) => line !== "") ?? "no reason is given";
  return found.replace(/^(\d+|error): /, "");
}

/** Runs a program and returns what it printed. */
export async function run(
  program: string,
  args: string[],
  options: Pick<Deno.CommandOptions, "cwd" | "env"> = {},
): Promise<string> {
  // Else a Deno that fails shows colours, and where RUST_BACKTRACE is set its own stack.
  const env = { NO_COLOR: "1", RUST_BACKTRACE: "0", ...options.env };
  const command = new Deno.Command(program, { args, stdin: "null", ...options, env });
  const { success, stdout, stderr } = await command.output();
  const text = new TextDecoder();
  if (success) return text.decode(stdout);
  const said = stripVTControlCharacters(text.decode(stderr)).trim();
  throw new Error(`${program} ${args[0]} failed: ${said}`);
}

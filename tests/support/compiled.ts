/**
 * Compiled files of mdi for tests. They take a denort that `denort.sh` puts into a cache: with MDI_TEST_DENORT=1 it
 * is fetched there, else it is used where it is already.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** The newest Deno whose denort a package registry has. */
const VERSION = "2.7.11";
const CACHE = join(
  Deno.env.get("XDG_CACHE_HOME") ?? join(Deno.env.get("HOME") ?? "/tmp", ".cache"),
  `mdi-denort-${VERSION}`,
);

/** Where denort is, or would be fetched to; undefined where there is none and it is not asked for. */
export const DENORT_CACHE: string | undefined = [Deno.env.get("DENO_DIR"), CACHE].find(
  (folder) => folder !== undefined && hasDenort(folder),
) ?? (Deno.env.get("MDI_TEST_DENORT") === "1" ? CACHE : undefined);

/** What the name of a test says where it is ignored. */
export const DENORT_NOTE = DENORT_CACHE ? "" : " (no denort: MDI_TEST_DENORT=1 fetches it)";

/** Builds files for targets into a folder, by `deno task compile`'s own program. */
export async function compileFiles(out: string, ...args: string[]): Promise<string> {
  await output("bash", [join(ROOT, "tests/support/denort.sh"), DENORT_CACHE!]);
  const compiler = join(out, "deno");
  await Deno.mkdir(out, { recursive: true });
  await Deno.writeTextFile(
    compiler,
    `#!/bin/sh\nDENO_DIR='${DENORT_CACHE}' exec npx -y deno@${VERSION} "$@"\n`,
    { mode: 0o755 },
  );
  const script = join(ROOT, "cli/_compile/compile.ts");
  return await output(Deno.execPath(), [
    ...["run", "-A", script, "--deno", compiler, "--out", join(out, "dist"), ...args],
  ]);
}

/** Runs a program and returns what it printed, or fails with that. */
export async function output(
  program: string,
  args: string[],
  options: Pick<Deno.CommandOptions, "env" | "clearEnv" | "cwd"> = {},
): Promise<string> {
  const command = new Deno.Command(program, { args, stdin: "null", ...options });
  const { success, stdout, stderr } = await command.output();
  const text = new TextDecoder();
  if (!success) throw new Error(`${program}: ${text.decode(stdout)}${text.decode(stderr)}`);
  return text.decode(stdout);
}

function hasDenort(folder: string): boolean {
  try {
    return ["x86_64", "aarch64"].every((cpu) =>
      Deno.statSync(
        join(folder, `dl/release/v${VERSION}/denort-${cpu}-unknown-linux-gnu.zip`),
      ).isFile
    );
  } catch {
    return false;
  }
}

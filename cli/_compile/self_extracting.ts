/**
 * The other form of a single file, for where no denort can be had: a shell script with an archive behind it that
 * holds a pinned Deno and the bundles. It unpacks itself once, into the cache, by its hash.
 */
import { join } from "node:path";
import { RUNTIME_FLAGS } from "../permissions.ts";
import { ENTRY, sha256 } from "./bundles.ts";
import { run } from "./denort.ts";
import type { Target } from "./targets.ts";

/** What stands before the archive. */
const SCRIPT = new URL("./self_extracting.sh", import.meta.url);

/** Version of the Deno inside. */
export const PINNED_DENO = "2.9.5";

/** Its wheels on PyPI, which hold nothing but that program: the platform's tag and the wheel's sha256. */
const WHEELS: Record<string, { platform: string; sha256: string }> = {
  "x86_64-linux": {
    platform: "manylinux_2_27_x86_64",
    sha256: "e5aec0419739fd0359663a78765d4feda19d1d0b60a682d25add9b78e19f95b4",
  },
  "aarch64-linux": {
    platform: "manylinux_2_27_aarch64",
    sha256: "bccec0965917b6daa323f9ce6ad8e884e0854506b0cdaec9de41bdac7620109a",
  },
};

/**
 * Makes such a file; needs pip, GNU tar and gzip.
 * @throws {RangeError} where there is none for the target.
 */
export async function selfExtracting(
  target: Target,
  folder: string,
  included: readonly string[],
  path: string,
): Promise<void> {
  const wheel = WHEELS[target.name];
  if (!wheel) throw new RangeError(`There is no self-extracting form for ${target.name}`);
  const work = await Deno.makeTempDir({ prefix: "mdi-deno-" });
  try {
    await unpackDeno(wheel, work, join(folder, "deno"));
    const archive = join(work, "archive.tar");
    const files = ["deno", ENTRY, ...included];
    await run("tar", [
      ...["--create", "--file", archive, "--directory", folder, "--format", "ustar"],
      ...["--sort", "name", "--owner", "0", "--group", "0", "--numeric-owner"],
      ...["--mtime", "2026-01-01 00:00Z", ...files],
    ]);
    await run("gzip", ["--no-name", "--best", archive]);
    await writeBehindScript(target, `${archive}.gz`, files, path);
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/** Writes the script, and behind it the archive: a .tar.gz of `files`, `deno` and the entry's bundle among them. */
export async function writeBehindScript(
  target: Target,
  archive: string,
  files: readonly string[],
  path: string,
): Promise<void> {
  const bytes = await Deno.readFile(archive);
  const header = (await Deno.readTextFile(SCRIPT))
    .replace("@HASH@", await sha256(archive))
    .replace("@BYTES@", `${bytes.length}`)
    .replace("@FILES@", files.join(" "))
    .replace("@FLAGS@", RUNTIME_FLAGS.join(" "))
    .replace("@ENTRY@", ENTRY)
    .replace("@ARCH@", target.name.split("-")[0]!);
  await Deno.writeTextFile(path, header);
  await Deno.writeFile(path, bytes, { append: true });
  await Deno.chmod(path, 0o755);
}

async function unpackDeno(
  { platform, sha256 }: { platform: string; sha256: string },
  work: string,
  path: string,
): Promise<void> {
  const requirements = join(work, "requirements.txt");
  await Deno.writeTextFile(requirements, `deno==${PINNED_DENO} --hash=sha256:${sha256}\n`);
  await run("python3", [
    ...["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"],
    ...["--only-binary=:all:", "--platform", platform, "--require-hashes"],
    ...["--requirement", requirements, "--dest", work],
  ]);
  const wheel = join(work, `deno-${PINNED_DENO}-py3-none-${platform}.whl`);
  await run("python3", ["-m", "zipfile", "-e", wheel, work]);
  await Deno.rename(join(work, `deno-${PINNED_DENO}.data/scripts/deno`), path);
  await Deno.chmod(path, 0o755);
}

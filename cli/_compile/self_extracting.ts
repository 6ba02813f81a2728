/**
 * The other form of a single file, for where no denort can be had: a shell script with an archive behind it that
 * holds a pinned Deno and the bundles. It unpacks itself once, into the cache, by its hash.
 */
import { join } from "node:path";
import { RUNTIME_FLAGS } from "../permissions.ts";
import { ENTRY, sha256 } from "./bundles.ts";
import { run } from "./denort.ts";
import type { Target } from "./targets.ts";

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
    await run("tar", [
      ...["--create", "--file", archive, "--directory", folder, "--format", "ustar"],
      ...["--sort", "name", "--owner", "0", "--group", "0", "--numeric-owner"],
      ...["--mtime", "2026-01-01 00:00Z", "deno", ENTRY, ...included],
    ]);
    await run("gzip", ["--no-name", "--best", archive]);
    const bytes = await Deno.readFile(`${archive}.gz`);
    const header = script(await sha256(`${archive}.gz`));
    await Deno.writeFile(path, new TextEncoder().encode(header), { mode: 0o755 });
    await Deno.writeFile(path, bytes, { append: true });
    await Deno.chmod(path, 0o755);
  } finally {
    await Deno.remove(work, { recursive: true });
  }
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

/** The shell script, which ends where the archive begins. POSIX, but for `-O` of test, which all shells have. */
function script(hash: string): string {
  return String.raw`#!/bin/sh
# mdi: a program for Linux with everything inside. It unpacks itself once, then starts from there.
set -eu
hash=${hash}
case $0 in */*) self=$0 ;; *) self=$(command -v -- "$0") ;; esac
MDI_FILE=$(cd -- "$(dirname -- "$self")" && pwd -P)/$(basename -- "$self")
export MDI_FILE DENO_NO_UPDATE_CHECK=1

# Unpacks into $1, which other copies may be doing too; fails where programs cannot be kept or started there.
unpack() {
  mkdir -p -- "$1" 2>/dev/null && work=$(mktemp -d "$1/.mdi-XXXXXX" 2>/dev/null) || return 1
  trap 'rm -rf -- "$work"' EXIT
  trap 'exit 1' HUP INT TERM
  sed '1,/^exit # the archive$/d' "$MDI_FILE" >"$work/archive" 2>/dev/null || return 1
  if ! echo "$hash  $work/archive" | sha256sum -c - >/dev/null 2>&1; then
    [ "$(wc -c <"$work/archive")" -eq 0 ] ||
      { echo "mdi: error: this file was altered or is not whole; copy it anew" >&2; exit 1; }
    return 1
  fi
  mkdir "$work/mdi" && tar -xzf "$work/archive" -C "$work/mdi" 2>/dev/null || return 1
  "$work/mdi/deno" --version >/dev/null 2>&1 || return 1
  mv -T -- "$work/mdi" "$1/mdi-$hash" 2>/dev/null || [ -O "$1/mdi-$hash" ] || return 1
  rm -rf -- "$work"
  trap - EXIT HUP INT TERM
}

for cache in "${"$"}{XDG_CACHE_HOME:-}" "${"$"}{HOME:+$HOME/.cache}" "${"$"}{TMPDIR:-/tmp}"; do
  [ -n "$cache" ] || continue
  place=$cache/mdi-$hash
  # What another user put there is not started.
  { [ -O "$place" ] && [ -x "$place/deno" ]; } || unpack "$cache" || { rm -rf -- "${"$"}{work:-}"; continue; }
  exec "$place/deno" run --quiet --no-prompt --no-config --no-lock --cached-only --no-remote --no-npm \
    ${RUNTIME_FLAGS.join(" ")} --allow-all "$place/${ENTRY}" "$@"
done
echo "mdi: error: Cannot unpack: none of \$XDG_CACHE_HOME, \$HOME/.cache and \$TMPDIR takes 150 MB and programs; set XDG_CACHE_HOME to a directory that can be written and is not mounted noexec" >&2
exit 6
exit # the archive
`;
}

/** The one file that mdi is, where it was compiled, against the list of hashes that it was published with. */
import { basename, dirname, join } from "node:path";
import { hashFile } from "../../engine/store/digest.ts";
import { singleFilePath } from "../own_command.ts";
import { bad, type Finding, good, unknown, warning } from "./finding.ts";

/** The list's name, beside the file. */
const SUMS = "SHA256SUMS";
/** A list of a handful of files is far smaller. */
const MAX_SUMS_BYTES = 2 ** 16;

/** A file and its sha256. */
export interface HashedFile {
  path: string;
  /** Lower-case hex. */
  hash: string;
}

/** What {@linkcode hashOfOwnFile} is to look at, where it is not this very process. */
export interface OwnFileOptions {
  path?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** Hashes the file that was started; null where that is not mdi: sources are run by Deno. */
export async function hashOfOwnFile(options: OwnFileOptions = {}): Promise<HashedFile | null> {
  const { path = singleFilePath(), signal } = options;
  if (path === undefined) return null;
  const hash = await hashFile(path, { signal });
  return hash === undefined ? null : { path, hash };
}

/** The list beside a file; null where there is none of a sensible size. */
export async function sumsBeside(path: string): Promise<string | null> {
  const beside = join(dirname(path), SUMS);
  try {
    const { isFile, size } = await Deno.stat(beside);
    return !isFile || size > MAX_SUMS_BYTES ? null : await Deno.readTextFile(beside);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Reads what `sha256sum` writes: hash, two characters, name. Other lines are passed over. */
export function parseSums(text: string): Map<string, string> {
  const sums = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, hash, name] = /^([0-9a-f]{64}) [ *](?:\.\/)?(.+?)\r?$/.exec(line) ?? [];
    if (hash !== undefined && name !== undefined) sums.set(name, hash);
  }
  return sums;
}

/** Compares; people may have given the file another name. */
export function checkOwnFile({ path, hash }: HashedFile, sums: string | null): Finding {
  const value = { path, sha256: hash };
  if (sums === null) {
    return unknown("own file", `sha256 ${hash}; no ${SUMS} beside it to compare with`);
  }
  const list = parseSums(sums);
  const found = [...list].find(([, each]) => each === hash)?.[0];
  if (found !== undefined) {
    return good("own file", value, `its hash is that of ${found} in ${SUMS}`);
  }
  const name = basename(path);
  if (list.has(name)) {
    return bad(
      "own file",
      value,
      `sha256 ${hash} is not what ${SUMS} says of ${name}: it is damaged, or another release`,
      "copy the file and the list again",
      "disk",
    );
  }
  return warning(
    "own file",
    value,
    `sha256 ${hash} is not in ${SUMS}`,
    "copy the file and the list of the same release again",
  );
}

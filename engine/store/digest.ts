/** What a file's bytes hash to. */
import { createHash, type Hash } from "node:crypto";

/** Bytes that are read at a time. */
const CHUNK = 2 ** 20;

/** How a {@linkcode Digest} is made. "git-sha1" is the object id that git gives a file. */
export type DigestAlgorithm = "sha256" | "git-sha1";

/** What a file's bytes must hash to. */
export interface Digest {
  /** "git-sha1" is the sha1 of "blob SIZE\0" and the bytes. */
  algorithm: DigestAlgorithm;
  /** Lower-case hex. */
  hex: string;
}

/** The digest of a file of the store that is named by its hash. */
export function sha256Of(hex: string): Digest {
  return { algorithm: "sha256", hex };
}

/** A hash that has seen nothing of a file of `bytes` bytes. */
export function newHash(algorithm: DigestAlgorithm, bytes: number | undefined): Hash {
  if (algorithm === "sha256") return createHash("sha256");
  if (bytes === undefined) throw new TypeError("Cannot make a git-sha1: the size is not given");
  return createHash("sha1").update(`blob ${bytes}\0`);
}

/** How {@linkcode hashFile} goes about it. */
export interface HashFileOptions {
  /** @default {"sha256"} */
  algorithm?: DigestAlgorithm | undefined;
  /** Makes it throw its reason. */
  signal?: AbortSignal | undefined;
  /** Told of every piece how long it was. */
  onBytes?: ((bytes: number) => void) | undefined;
}

/** The hash of a file in hex, read 1 MB at a time; undefined where there is none. */
export async function hashFile(
  path: string,
  options: HashFileOptions = {},
): Promise<string | undefined> {
  const { algorithm = "sha256", signal, onBytes } = options;
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  using _ = file;
  const hash = newHash(algorithm, (await file.stat()).size);
  const chunk = new Uint8Array(CHUNK);
  while (true) {
    signal?.throwIfAborted();
    const read = await file.read(chunk);
    if (read === null) return hash.digest("hex");
    hash.update(chunk.subarray(0, read));
    onBytes?.(read);
  }
}

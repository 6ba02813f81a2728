/** The digest that ends a packed file: the sha256 of all bytes before it. */
import { createHash } from "node:crypto";
import { readInto } from "../block_file.ts";

/** Bytes of the digest. */
export const DIGEST_BYTES = 32;
/** Bytes that are read at a time. */
const PIECE_BYTES = 2 ** 20;

/** What a packed file hashes to, in hex, and the digest that it ends with; they differ where it is damaged. */
export interface PackedHashes {
  actual: string;
  expected: string;
}

/** How {@linkcode hashPacked} goes about it. */
export interface HashPackedOptions {
  /** Makes it throw its reason. */
  signal?: AbortSignal | undefined;
  /** Told of every piece how long it was. */
  onBytes?: ((bytes: number) => void) | undefined;
}

/** Hashes all of an opened packed file, 1 MB at a time. */
export async function hashPacked(
  file: Deno.FsFile,
  { signal, onBytes }: HashPackedOptions = {},
): Promise<PackedHashes> {
  const { size } = await file.stat();
  const end = Math.max(0, size - DIGEST_BYTES);
  const hash = createHash("sha256");
  const piece = new Uint8Array(PIECE_BYTES);
  for (let at = 0; at < end; at += PIECE_BYTES) {
    signal?.throwIfAborted();
    const got = await readInto(file, at, piece.subarray(0, end - at));
    hash.update(piece.subarray(0, got));
    onBytes?.(got);
  }
  const expected = await readDigest(file, size);
  onBytes?.(size - end);
  return { actual: hash.digest("hex"), expected };
}

/** The digest that a packed file of `size` bytes ends with, in hex. */
export async function readDigest(file: Deno.FsFile, size: number): Promise<string> {
  const digest = new Uint8Array(DIGEST_BYTES);
  const got = await readInto(file, Math.max(0, size - DIGEST_BYTES), digest);
  return digest.subarray(0, got).toHex();
}

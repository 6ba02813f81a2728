/** Names of packed files in a store. */
import { createHash } from "node:crypto";
import { PACKED_VERSION } from "./packed_file.ts";

/** Of what this program writes and reads. */
const PACKED = new RegExp(`^[0-9a-f]{64}\\.packed${PACKED_VERSION}-[0-9a-f]{16}$`);
/** Of what any version writes. */
const PACKED_BY_ANY = /^[0-9a-f]{64}\.packed[0-9]+-[0-9a-f]{16}$/;
/** What a block's hash begins and a UUID ends is not in its place yet, whatever it will be. */
const UNFINISHED = /^[0-9a-f]{64}\..+\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Begins with the block's own hash, with which it goes. The rest tells apart what equal block files become
 * beside other blocks: with other weights in those, or without a table to share.
 * @param hashes the sha256 of its block file, then of those that its weights lie in.
 * @param tied whether it is a head that shares the embed block's table.
 */
export function packedName(hashes: readonly string[], tied: boolean): string {
  const key = createHash("sha256").update(`${tied}\n${hashes.join("\n")}`).digest("hex");
  return `${hashes[0]}.packed${PACKED_VERSION}-${key.slice(0, 16)}`;
}

/** Whether a name is one that {@linkcode packedName} gives. */
export function isPackedName(name: string): boolean {
  return PACKED.test(name);
}

/** Whether a name is one that another version of this format gives: this program has no use for such a file. */
export function isForeignPackedName(name: string): boolean {
  return PACKED_BY_ANY.test(name) && !isPackedName(name);
}

/** The name under which a file at `path` is written before it is moved into its place. */
export function unfinishedPath(path: string): string {
  return `${path}.${crypto.randomUUID()}`;
}

/** Whether a name is one that {@linkcode unfinishedPath} gives for a block's packed file or verdict. */
export function isUnfinishedName(name: string): boolean {
  return UNFINISHED.test(name);
}

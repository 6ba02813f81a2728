/** The packed files of a stage's blocks: found where an earlier start left them, else made. */
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { OpenBlocks } from "../block_file.ts";
import { MdiError, messageOf } from "../error.ts";
import type { DecoderBlock, Matrix } from "./decoder.ts";
import { blockReader } from "./pack_from.ts";
import type { PackedBlock } from "./packed_block.ts";
import { PackedFile } from "./packed_file.ts";
import { packedName } from "./packed_name.ts";
import { planPackedBlock } from "./packed_plan.ts";
import { writePackedBlock } from "./packed_writer.ts";
import { writeInPlace } from "./write_in_place.ts";

/** A block to be packed. */
export interface BlockToPack {
  name: string;
  block: DecoderBlock;
  /** The sha256 of its block file, then of those that its weights lie in; null where one is in no store. */
  hashes: readonly string[] | null;
}

/** Bytes that the weights of blocks take, packed. */
export function bytesToPack(wanted: readonly BlockToPack[]): number {
  const embed = tableOf(wanted);
  return wanted.reduce((sum, { block }) => sum + planPackedBlock(block, { embed }).dataBytes, 0);
}

/** The table that a head may share. */
function tableOf(wanted: readonly BlockToPack[]): Matrix | undefined {
  const embed = wanted.find(({ name }) => name === "embed")?.block;
  return embed?.kind === "embed" ? embed.table : undefined;
}

/** Packed files by block name, opened. Owns them. */
export class PackedFiles implements AsyncDisposable {
  #files = new Map<string, PackedFile>();
  #temporary: string | null = null;
  /** Names of the blocks that were packed now, and not found. */
  readonly made: string[] = [];

  /**
   * Opens what is there and packs what is not.
   * @param directory where packed files are kept; null for none, then they are gone when this is disposed.
   * @throws {MdiError} model_unsupported, model_corrupt, disk
   */
  static async open(
    directory: string | null,
    blocks: OpenBlocks,
    wanted: readonly BlockToPack[],
  ): Promise<PackedFiles> {
    await using owned = new AsyncDisposableStack();
    const files = owned.use(new PackedFiles());
    const table = tableOf(wanted);
    for (const each of wanted) await files.#add(directory, blocks, each, table);
    owned.move();
    return files;
  }

  /** A block's packed file. */
  get(name: string): PackedFile {
    const file = this.#files.get(name);
    if (!file) throw new TypeError(`Cannot read packed block ${name}: it was not asked for`);
    return file;
  }

  async #add(
    directory: string | null,
    blocks: OpenBlocks,
    { name, block, hashes }: BlockToPack,
    embed: Matrix | undefined,
  ): Promise<void> {
    const { index } = planPackedBlock(block, { embed });
    const kept = directory !== null && hashes !== null;
    const path = kept
      ? join(directory, packedName(hashes, isTied(index)))
      : join(this.#temporary ??= await Deno.makeTempDir({ prefix: "mdi-packed-" }), name);
    const found = kept ? await openIfGood(path, index) : undefined;
    if (found) {
      this.#files.set(name, found);
      return;
    }
    await write(path, (append) => writePackedBlock(block, blockReader(blocks), append, { embed }));
    this.made.push(name);
    const file = await PackedFile.open(path);
    this.#files.set(name, file);
    if (kept) await file.mark();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.#files.values()) file[Symbol.dispose]();
    if (this.#temporary !== null) await Deno.remove(this.#temporary, { recursive: true });
  }
}

function isTied(index: PackedBlock): boolean {
  return index.kind === "head" && "tied" in index.weight.weight;
}

/** A packed file of this index; undefined where there is none, or one that is damaged or has another. */
async function openIfGood(path: string, index: PackedBlock): Promise<PackedFile | undefined> {
  try {
    using opened = new DisposableStack();
    const file = opened.use(await PackedFile.open(path));
    if (!isDeepStrictEqual(file.block, index) || !await file.isIntact()) return undefined;
    opened.move();
    return file;
  } catch (error) {
    if (error instanceof MdiError) return undefined;
    throw error;
  }
}

/** Writes a packed file; what is no MdiError is the disk's. */
async function write(
  path: string,
  fill: (append: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  try {
    await writeInPlace(path, fill);
  } catch (cause) {
    if (cause instanceof MdiError) throw cause;
    throw new MdiError(
      "disk",
      `Cannot write packed weights to ${path}: ${
        messageOf(cause)
      }; make room, or use --backend ort`,
      { cause },
    );
  }
}

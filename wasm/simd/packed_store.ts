/** The packed weights of a stage's blocks: found where an earlier start left them, else made. */
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { OpenBlocks } from "../block_file.ts";
import { MdiError, messageOf } from "../error.ts";
import type { LoadHooks } from "../stage.ts";
import type { DecoderBlock, Matrix } from "./decoder.ts";
import { blockReader } from "./pack_from.ts";
import type { PackedBlock } from "./packed_block.ts";
import { PackedFile } from "./packed_file.ts";
import { packedName } from "./packed_name.ts";
import { type PackedPlan, planPackedBlock } from "./packed_plan.ts";
import { type PackedSource, UnkeptBlock } from "./packed_source.ts";
import { checkedPlan, packedFileBytes, writePackedBlock } from "./packed_writer.ts";
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

/** A block that has no packed file, and where that would be kept. */
interface Missing {
  name: string;
  plan: PackedPlan;
  /** Null for nowhere. */
  path: string | null;
}

/** Packed weights by block name. Owns their files. */
export class PackedBlocks implements Disposable {
  #owned = new DisposableStack();
  #sources = new Map<string, PackedSource>();
  #notes: string[] = [];
  #packed = 0;

  /**
   * Opens what is there and packs what is not: into files where there is room for all of them, else while it
   * is read.
   * @param directory where packed files are kept; null for nowhere.
   * @param blocks stay open as long as this is used.
   * @throws {MdiError} model_unsupported, model_corrupt, disk
   */
  static async open(
    directory: string | null,
    blocks: OpenBlocks,
    wanted: readonly BlockToPack[],
    hooks: LoadHooks = {},
  ): Promise<PackedBlocks> {
    using owned = new DisposableStack();
    const packed = owned.use(new PackedBlocks());
    const embed = tableOf(wanted);
    const missing: Missing[] = [];
    for (const { name, block, hashes } of wanted) {
      const plan = checkedPlan(block, { embed });
      const path = directory !== null && hashes !== null
        ? join(directory, packedName(hashes, isTied(plan.index)))
        : null;
      const found = path === null ? undefined : await openIfGood(path, plan.index);
      if (found) packed.#take(name, found);
      else missing.push({ name, plan, path });
    }
    await packed.#pack(missing, blocks, hooks);
    owned.move();
    return packed;
  }

  /** For a person: why weights are not kept. */
  get notes(): readonly string[] {
    return this.#notes;
  }

  /** A block's packed weights. */
  get(name: string): PackedSource {
    const source = this.#sources.get(name);
    if (!source) throw new TypeError(`Cannot read packed block ${name}: it was not asked for`);
    return source;
  }

  async #pack(missing: readonly Missing[], blocks: OpenBlocks, hooks: LoadHooks): Promise<void> {
    const fileBytes = sum(missing, ({ path, plan }) => path === null ? 0 : packedFileBytes(plan));
    const refusal = fileBytes > 0 ? await hooks.askRoom?.(fileBytes) ?? null : null;
    if (refusal !== null) {
      this.#notes.push(`${refusal}; until then its weights are packed at every start`);
    }
    const keeps = ({ path }: Missing) => path !== null && refusal === null;
    const total = sum(
      missing,
      (each) => keeps(each) ? packedFileBytes(each.plan) : each.plan.dataBytes,
    );
    const onBytes = (bytes: number) => hooks.onPack?.(this.#packed += bytes, total);
    const read = blockReader(blocks);
    for (const each of missing) {
      const { name, plan, path } = each;
      if (path === null || !keeps(each)) {
        this.#sources.set(name, new UnkeptBlock(plan, read, onBytes));
        continue;
      }
      await write(path, (append) =>
        writePackedBlock(plan, read, async (bytes) => {
          await append(bytes);
          onBytes(bytes.length);
        }));
      const file = this.#take(name, await PackedFile.open(path));
      await file.mark();
    }
  }

  #take(name: string, file: PackedFile): PackedFile {
    this.#owned.use(file);
    this.#sources.set(name, file);
    return file;
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}

function sum<T>(values: readonly T[], of: (value: T) => number): number {
  return values.reduce((total, value) => total + of(value), 0);
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

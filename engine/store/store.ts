/** The content-addressed store of a device: blocks, text assets, manifests, and the files that were pulled. */
import { join } from "node:path";
import { MdiError } from "../../wasm/error.ts";
import type { BlockEntry, Manifest, TextAssets } from "../model/types.ts";
import { BlockReceiver, type Destination, publish } from "./block_receiver.ts";
import { sha256Of } from "./digest.ts";
import { onDisk, statOf, writeAtomically } from "./disk.ts";
import { checkIntegrity } from "./integrity.ts";
import { blockPath, checkHash, layoutOf, STORE_VERSION, type StoreLayout } from "./layout.ts";
import { withLock } from "./lock.ts";
import { Pin } from "./pin.ts";
import { Receiver } from "./receiver.ts";
import {
  type ImportRecord,
  manifestPath,
  readImport,
  readManifest,
  writeImport,
  writeManifest,
} from "./records.ts";
import { ensureRoom } from "./room.ts";
import { sweepPacked, sweepTmp } from "./usage.ts";

/** A tokenizer.json is refused above this; the largest real ones are near 35 MB. */
const MAX_TEXT_BYTES = 256 * 2 ** 20;
/** Bytes that {@linkcode Store.stream} yields at a time: the largest message that does not hold frames up behind it. */
const STREAM_CHUNK = 128 * 1024;

/** How a store is opened. */
export interface StoreOptions {
  /**
   * Bytes that blocks and pulled files may take together; null for all that the disk has.
   * @default {null}
   */
  limitBytes?: number | null;
  /**
   * Told, in a line for people, of a file that turned out to be damaged and was removed, and of another
   * process that keeps this one waiting for some seconds.
   */
  onNote?: ((message: string) => void) | undefined;
}

/** How something is written into a store. */
export interface StoreWriteOptions {
  /** Keeps what is written from being removed by another process, from the moment it is there. */
  pin?: Pin | undefined;
  /** Makes the next write throw its reason. */
  signal?: AbortSignal | undefined;
}

/**
 * Opens the store in `dir`, and makes it where there is none. Several processes may use one store.
 * @throws {MdiError} disk where it cannot be written or is of another version.
 */
export async function openStore(dir: string, options: StoreOptions = {}): Promise<Store> {
  const { limitBytes = null } = options;
  if (limitBytes !== null && !(Number.isFinite(limitBytes) && limitBytes > 0)) {
    throw new RangeError(`Cannot open store: the limit must be above 0 bytes, got ${limitBytes}`);
  }
  const layout = layoutOf(dir, options.onNote);
  await onDisk("open the store", layout.root, async () => {
    const { blocks, packed, manifests, imports, models, pins, locks, tmp } = layout;
    for (const each of [blocks, packed, manifests, imports, models, pins, locks, tmp]) {
      await Deno.mkdir(each, { recursive: true, mode: 0o700 });
    }
    if (!(await statOf(layout.version))) {
      await writeAtomically(layout.version, `${STORE_VERSION}\n`, tmp);
    }
    const version = (await Deno.readTextFile(layout.version)).trim();
    if (version !== String(STORE_VERSION)) {
      throw new MdiError(
        "disk",
        `Cannot open the store at ${layout.root}: its version is ${version.slice(0, 20)}, ` +
          `this mdi reads ${STORE_VERSION}; set MDI_HOME to another directory`,
      );
    }
    await sweepTmp(layout);
  });
  return new Store(layout, limitBytes);
}

/** A store that is open. It holds no resources; see {@linkcode Store.pin} for what must be released. */
export class Store {
  /** Where things lie in it. */
  readonly layout: StoreLayout;
  /** Bytes that it may take; null for no limit. */
  readonly limitBytes: number | null;

  /** Use {@linkcode openStore}. */
  constructor(layout: StoreLayout, limitBytes: number | null) {
    this.layout = layout;
    this.limitBytes = limitBytes;
  }

  /** Where the file of that hash lies or would lie. */
  path(hash: string): string {
    return blockPath(this.layout, hash);
  }

  /** Size in bytes of the file of that hash; undefined where it is not stored. */
  async size(hash: string): Promise<number | undefined> {
    return (await statOf(this.path(hash)))?.size;
  }

  /** Whether the file of that hash is stored, whole. */
  async has(hash: string): Promise<boolean> {
    return await this.size(hash) !== undefined;
  }

  /**
   * Whether the file of that hash is stored and is what its hash says: a file that was changed since its
   * hash was checked is hashed again, and removed where it is damaged.
   */
  async intact(hash: string): Promise<boolean> {
    return await checkIntegrity(this.layout, this.path(hash), sha256Of(hash));
  }

  /** The blocks of a manifest that are not stored, those that turned out to be damaged among them. */
  async missing(blocks: readonly BlockEntry[]): Promise<BlockEntry[]> {
    const absent: BlockEntry[] = [];
    for (const block of blocks) {
      const there = await this.intact(block.hash) && await this.size(block.hash) === block.bytes;
      if (!there) absent.push(block);
    }
    return absent;
  }

  /** Reads `length` bytes at `offset`; fewer only where the file ends. */
  async read(hash: string, offset: number, length: number): Promise<Uint8Array> {
    using file = await this.#open(hash);
    await file.seek(offset, Deno.SeekMode.Start);
    const bytes = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      const read = await file.read(bytes.subarray(at));
      if (read === null) break;
      at += read;
    }
    return bytes.subarray(0, at);
  }

  /** Yields the bytes from `offset` to the end in pieces of 128 kB, each in memory of its own. */
  async *stream(hash: string, offset = 0): AsyncGenerator<Uint8Array> {
    using file = await this.#open(hash);
    await file.seek(offset, Deno.SeekMode.Start);
    while (true) {
      const chunk = new Uint8Array(STREAM_CHUNK);
      const read = await file.read(chunk);
      if (read === null) return;
      yield chunk.subarray(0, read);
    }
  }

  async #open(hash: string): Promise<Deno.FsFile> {
    try {
      return await Deno.open(this.path(hash));
    } catch (cause) {
      throw new MdiError("model_missing", `Cannot read block ${hash}: it is not in the store`, {
        cause,
        details: { hash },
      });
    }
  }

  /**
   * Receives a file whose hash and size are known, and goes on where an earlier attempt broke off:
   * the sender starts at `offset`. {@linkcode BlockReceiver.commit} checks and stores it.
   * @throws {MdiError} disk
   */
  async writer(
    hash: string,
    bytes: number,
    options: StoreWriteOptions = {},
  ): Promise<BlockReceiver> {
    const { pin, signal } = options;
    const part = join(this.layout.tmp, checkHash(hash));
    const receiver = await Receiver.open(part, {
      what: `block ${hash}`,
      bytes,
      digest: sha256Of(hash),
      resumable: true,
      signal,
    });
    return new BlockReceiver(receiver, this.#destination(pin));
  }

  /**
   * Writes a file while hashing it, and stores it under its hash.
   * @throws {MdiError} disk; nothing of it stays.
   */
  async putNew(
    chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options: StoreWriteOptions & { bytes?: number } = {},
  ): Promise<{ hash: string; bytes: number }> {
    const { bytes, pin, signal } = options;
    const part = join(this.layout.tmp, crypto.randomUUID());
    await using receiver = await Receiver.open(part, { what: "a block", bytes, signal });
    for await (const chunk of chunks) await receiver.write(chunk);
    const hash = await publish(receiver, this.#destination(pin));
    return { hash, bytes: receiver.offset };
  }

  #destination(pin: Pin | undefined): Destination {
    return { layout: this.layout, path: (hash) => this.path(hash), pin };
  }

  /**
   * Keeps files from being removed until the pin is disposed or this process ends. Pin a hash first and
   * look afterwards whether it is stored.
   */
  async pin(...keys: string[]): Promise<Pin> {
    const pin = await Pin.open(this.layout);
    await pin.add(...keys);
    return pin;
  }

  /**
   * Makes room before anything is fetched: checks the free disk, and removes the models used longest ago
   * (but none in use) where the store's limit asks for it.
   * @param what for the message: "model smollm2".
   * @throws {MdiError} disk, with needed and free bytes.
   */
  async ensureRoom(bytes: number, what: string): Promise<void> {
    await ensureRoom(this.layout, this.limitBytes, bytes, what);
  }

  /**
   * Makes room as {@linkcode Store.ensureRoom} does, for what is packed from a model's blocks; what other
   * versions of mdi packed goes first.
   * @returns why there is none, a sentence; null where there is.
   */
  async packedRoom(bytes: number, model: string): Promise<string | null> {
    try {
      await onDisk("tidy the store", this.layout.root, () => sweepPacked(this.layout));
      await this.ensureRoom(bytes, `the packed form of ${model}`);
      return null;
    } catch (error) {
      if (error instanceof MdiError && error.code === "disk") return error.message;
      throw error;
    }
  }

  /** Stores a manifest. @returns its id. */
  async putManifest(manifest: Manifest): Promise<string> {
    return await writeManifest(this.layout, manifest);
  }

  /** A stored manifest, by its id; undefined where there is none. Counts as a use of the model. */
  async manifest(id: string): Promise<Manifest | undefined> {
    const manifest = await readManifest(this.layout, checkHash(id));
    const now = new Date();
    if (manifest) await Deno.utime(manifestPath(this.layout, id), now, now);
    return manifest;
  }

  /** Stores text assets as JSON. */
  async putText(text: TextAssets, options: StoreWriteOptions = {}): Promise<string> {
    const bytes = new TextEncoder().encode(JSON.stringify(text));
    return (await this.putNew([bytes], { ...options, bytes: bytes.length })).hash;
  }

  /**
   * Reads text assets back.
   * @throws {MdiError} model_missing, model_corrupt
   */
  async text(hash: string): Promise<TextAssets> {
    const size = await this.size(hash) ?? 0;
    if (size > MAX_TEXT_BYTES) {
      throw new MdiError("model_corrupt", `Cannot read tokenizer ${hash}: it has ${size} bytes`);
    }
    const json = new TextDecoder().decode(await this.read(hash, 0, size));
    try {
      return JSON.parse(json) as TextAssets;
    } catch (cause) {
      throw new MdiError(
        "model_corrupt",
        `Cannot read tokenizer ${hash}: it is not JSON; run "mdi store verify"`,
        { cause },
      );
    }
  }

  /** What the files under this import key were cut into, if they were. */
  async importOf(key: string): Promise<ImportRecord | undefined> {
    return await readImport(this.layout, checkHash(key));
  }

  /** Remembers what the files under this import key were cut into. */
  async putImport(key: string, record: ImportRecord): Promise<void> {
    await writeImport(this.layout, checkHash(key), record);
  }

  /**
   * Runs `fn` in one process at a time, of all that give the same name.
   * @param doing what it does, for those who wait: "cuts tiny".
   */
  async exclusively<T>(
    name: string,
    doing: string,
    fn: () => Promise<T>,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): Promise<T> {
    if (!/^[\w.-]{1,240}$/.test(name)) throw new TypeError(`Cannot lock ${JSON.stringify(name)}`);
    const { locks, onNote } = this.layout;
    const onWait = () => onNote?.(`waiting for another mdi process that ${doing}`);
    return await withLock(join(locks, `${name}.lock`), fn, { signal, onWait });
  }
}

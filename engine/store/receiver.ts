/** Writes a file that counts only when it is whole and its hash is right. */
import type { Hash } from "node:crypto";
import { dirname } from "node:path";
import { MdiError } from "../../wasm/error.ts";
import { type Digest, newHash } from "./digest.ts";
import { onDisk, removeIfThere } from "./disk.ts";
import { tryLock } from "./lock.ts";

/** Bytes read at a time when the start of a resumed file is hashed again. */
const REHASH_CHUNK = 2 ** 20;

/** What a {@linkcode Receiver} writes. */
export interface ReceiverOptions {
  /** For messages: "block 12ab…", "model.gguf". */
  what: string;
  /** Exact size of the whole file, where it is known. */
  bytes?: number | undefined;
  /** What it must hash to; a sha256 is made and not compared where there is none. */
  digest?: Digest | undefined;
  /** Whether the partial file stays after a break, so that the next receiver goes on with it. */
  resumable?: boolean | undefined;
  /** Makes the next call throw its reason. */
  signal?: AbortSignal | undefined;
}

/** A partial file under a lock. Used by one caller at a time. */
export class Receiver implements AsyncDisposable {
  #file: Deno.FsFile;
  #part: string;
  #options: ReceiverOptions;
  #hash: Hash;
  #offset = 0;
  #state: "open" | "sealed" | "closed" = "open";
  #keep: boolean;

  private constructor(file: Deno.FsFile, part: string, options: ReceiverOptions, keep: boolean) {
    this.#file = file;
    this.#part = part;
    this.#options = options;
    this.#keep = keep;
    this.#hash = hashOf(options);
  }

  /**
   * Opens `<path>.part`, and hashes again what an earlier receiver left there. Where another process
   * is writing it, a file of its own is written instead, from the start.
   * @throws {MdiError} disk
   */
  static async open(path: string, options: ReceiverOptions): Promise<Receiver> {
    const doing = `receive ${options.what}`;
    return await onDisk(doing, dirname(path), async () => {
      let part = `${path}.part`;
      let keep = options.resumable ?? false;
      let file = await tryLock(part);
      if (file === undefined) {
        part = `${path}.${crypto.randomUUID()}.part`;
        keep = false;
        file = await tryLock(part);
        if (file === undefined) {
          throw new MdiError("internal", `Cannot ${doing}: ${part} is locked`);
        }
      }
      const receiver = new Receiver(file, part, options, keep);
      try {
        await receiver.#rehash();
      } catch (error) {
        await receiver[Symbol.asyncDispose]();
        throw error;
      }
      return receiver;
    }, options.bytes);
  }

  /** Bytes that are there: where the sender goes on. */
  get offset(): number {
    return this.#offset;
  }

  async #rehash(): Promise<void> {
    const { size } = await this.#file.stat();
    if (size > (this.#options.bytes ?? Infinity) || !this.#keep) return await this.restart();
    const chunk = new Uint8Array(REHASH_CHUNK);
    while (true) {
      this.#options.signal?.throwIfAborted();
      const read = await this.#file.read(chunk);
      if (read === null) return;
      this.#hash.update(chunk.subarray(0, read));
      this.#offset += read;
    }
  }

  /** Forgets what is there; the next byte is the first. */
  async restart(): Promise<void> {
    await this.#file.truncate(0);
    await this.#file.seek(0, Deno.SeekMode.Start);
    this.#hash = hashOf(this.#options);
    this.#offset = 0;
  }

  /**
   * Appends bytes.
   * @throws {MdiError} disk; model_corrupt where there are more bytes than announced.
   */
  async write(chunk: Uint8Array): Promise<void> {
    if (this.#state !== "open") throw new TypeError(`Cannot write: the receiver is ${this.#state}`);
    this.#options.signal?.throwIfAborted();
    const { bytes, what } = this.#options;
    if (bytes !== undefined && this.#offset + chunk.length > bytes) {
      await this.#discard();
      throw new MdiError("model_corrupt", `Cannot receive ${what}: more than ${bytes} bytes came`, {
        details: { bytes },
      });
    }
    const needed = bytes === undefined ? chunk.length : bytes - this.#offset;
    await onDisk(`receive ${what}`, dirname(this.#part), async () => {
      for (let at = 0; at < chunk.length;) at += await this.#file.write(chunk.subarray(at));
    }, needed);
    this.#hash.update(chunk);
    this.#offset += chunk.length;
  }

  /**
   * Checks the whole and brings it to the disk.
   * @returns its hash in hex.
   * @throws {MdiError} model_corrupt where it is too short (the part stays) or its hash is wrong (the part goes).
   */
  async seal(): Promise<string> {
    if (this.#state !== "open") throw new TypeError(`Cannot seal: the receiver is ${this.#state}`);
    const { bytes, digest, what } = this.#options;
    if (bytes !== undefined && this.#offset < bytes) {
      throw new MdiError(
        "model_corrupt",
        `Cannot receive ${what}: it ended after ${this.#offset} of ${bytes} bytes`,
        { details: { bytes, received: this.#offset } },
      );
    }
    const hex = this.#hash.digest("hex");
    if (digest !== undefined && hex !== digest.hex) {
      await this.#discard();
      throw new MdiError(
        "model_corrupt",
        `Cannot receive ${what}: its ${digest.algorithm} is ${hex}, expected ${digest.hex}`,
        { details: { expected: digest.hex, actual: hex } },
      );
    }
    await onDisk(`receive ${what}`, dirname(this.#part), () => this.#file.syncData());
    this.#state = "sealed";
    return hex;
  }

  /** Gives the sealed file its name, at once and whole. */
  async publish(path: string): Promise<void> {
    if (this.#state !== "sealed") {
      throw new TypeError(`Cannot publish: the receiver is ${this.#state}`);
    }
    await onDisk(`store ${this.#options.what}`, dirname(path), async () => {
      await Deno.mkdir(dirname(path), { recursive: true });
      await Deno.rename(this.#part, path);
    });
    this.#state = "closed";
    this.#file.close();
  }

  async #discard(): Promise<void> {
    this.#keep = false;
    await this[Symbol.asyncDispose]();
  }

  /** Closes the partial file; it stays where it can be resumed. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = "closed";
    if (!this.#keep || this.#offset === 0) await removeIfThere(this.#part);
    this.#file.close();
  }
}

function hashOf({ digest, bytes }: ReceiverOptions): Hash {
  return newHash(digest?.algorithm ?? "sha256", bytes);
}

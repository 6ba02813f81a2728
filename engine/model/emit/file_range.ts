/** Ranges of files: every read says where it starts, how long it is, and what was missing. */
import { MdiError, messageOf } from "../../../wasm/error.ts";
import type { TensorData } from "../types.ts";

/** Most bytes of a tensor in memory at a time. */
const CHUNK_BYTES = 2 ** 20;

/** What identifies a file's content for `mdi inspect` and for the import's cache key. */
export interface FileInfo {
  path: string;
  bytes: number;
  mtimeMs: number;
}

/**
 * Size and time of a file.
 * @throws {MdiError} model_missing where there is no readable file.
 */
export async function fileInfo(path: string): Promise<FileInfo> {
  const info = await opened(path, () => Deno.stat(path));
  if (!info.isFile) throw new MdiError("model_missing", `Cannot read ${path}: it is not a file`);
  return { path, bytes: info.size, mtimeMs: info.mtime?.getTime() ?? 0 };
}

/**
 * Reads exactly `length` bytes at `offset`.
 * @throws {MdiError} model_missing, model_corrupt where the file ends before.
 */
export async function readRange(
  path: string,
  offset: number,
  length: number,
  options: { signal?: AbortSignal } = {},
): Promise<Uint8Array<ArrayBuffer>> {
  using file = await opened(path, () => Deno.open(path));
  await file.seek(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  await fill(file, bytes, path, options.signal);
  return bytes;
}

/** A range of a file as tensor data, in chunks. */
export function rangeData(path: string, offset: number, bytes: number): TensorData {
  return groupedData(path, offset, bytes, CHUNK_BYTES, (group) => group);
}

/**
 * A range of a file as tensor data, made group by group: each is read whole and handed on as `convert`
 * returns it, which must have the same length. A chunk holds until the next one is asked for: a model's
 * worth of garbage would leave the heap a hundred megabytes larger.
 */
export function groupedData(
  path: string,
  offset: number,
  bytes: number,
  groupBytes: number,
  convert: (group: Uint8Array<ArrayBuffer>) => Uint8Array,
): TensorData {
  return {
    bytes,
    async *chunks(signal?: AbortSignal) {
      using file = await opened(path, () => Deno.open(path));
      await file.seek(offset, Deno.SeekMode.Start);
      const memory = new Uint8Array(Math.min(groupBytes, bytes));
      try {
        for (let at = 0; at < bytes; at += groupBytes) {
          const group = memory.subarray(0, Math.min(groupBytes, bytes - at));
          await fill(file, group, path, signal);
          yield convert(group);
        }
      } finally {
        memory.buffer.transfer(0);
      }
    },
  };
}

async function fill(
  file: Deno.FsFile,
  bytes: Uint8Array,
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    signal?.throwIfAborted();
    const read = await file.read(bytes.subarray(at));
    if (read === null) {
      throw new MdiError(
        "model_corrupt",
        `Cannot read ${path}: it ends ${bytes.length - at} bytes too early; fetch it again`,
        { details: { file: path } },
      );
    }
    at += read;
  }
}

async function opened<T>(path: string, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (cause) {
    const why = cause instanceof Deno.errors.NotFound ? "there is no such file" : messageOf(cause);
    throw new MdiError("model_missing", `Cannot read ${path}: ${why}`, {
      cause,
      details: { file: path },
    });
  }
}

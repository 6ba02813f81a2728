/** What can go wrong with a disk, said in plain words. */
import { statfs } from "node:fs/promises";
import { MdiError, messageOf } from "../../wasm/error.ts";
import { formatBytes } from "../format_bytes.ts";

/** What an operating system's error code means to a person. */
const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
  EACCES: "permission is denied",
  EPERM: "permission is denied",
  EIO: "the disk reports an input/output error",
  EFBIG: "the file system does not take a file of this size",
  ENOTDIR: "a part of the path is a file",
  EMFILE: "too many files are open",
};

/** Bytes that this process may still write where `path` lies; null where the system does not say. */
export async function freeBytes(path: string): Promise<number | null> {
  try {
    const { bavail, bsize } = await statfs(path);
    return Number(bavail) * Number(bsize);
  } catch {
    return null;
  }
}

/** The operating system's code of an error, such as "ENOSPC". */
function osCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" && /^E[A-Z0-9]+$/.test(error.code) ? error.code : undefined;
}

/**
 * Makes an {@linkcode MdiError} of code `disk` from an error that the operating system gave;
 * any other error comes back as it is.
 * @param doing what was tried, for "Cannot …".
 * @param neededBytes bytes that were still to be written, where known.
 */
export async function diskError(
  doing: string,
  path: string,
  cause: unknown,
  neededBytes?: number,
): Promise<unknown> {
  const code = osCode(cause);
  if (code === undefined && !(cause instanceof Deno.errors.NotCapable)) return cause;
  const reason = REASONS[code ?? ""] ?? messageOf(cause);
  const full = code === "ENOSPC" || code === "EDQUOT";
  const free = full ? await freeBytes(path) : null;
  const figures = [
    neededBytes === undefined ? "" : `${formatBytes(neededBytes)} needed`,
    free === null ? "" : `${formatBytes(free)} free`,
  ].filter(Boolean).join(", ");
  const advice = full
    ? 'free space, for example with "mdi store remove MODEL"'
    : "set MDI_HOME to a directory that can be written";
  return new MdiError(
    "disk",
    `Cannot ${doing}: ${reason} at ${path}${full && figures ? ` (${figures})` : ""}; ${advice}`,
    {
      cause,
      details: {
        path,
        ...(code === undefined ? {} : { os: code }),
        ...(neededBytes === undefined ? {} : { neededBytes }),
        ...(free === null ? {} : { freeBytes: free }),
      },
    },
  );
}

/** Runs `fn`; what the operating system refuses becomes an {@linkcode MdiError} of code `disk`. */
export async function onDisk<T>(
  doing: string,
  path: string,
  fn: () => Promise<T>,
  neededBytes?: number,
): Promise<T> {
  try {
    return await fn();
  } catch (cause) {
    throw await diskError(doing, path, cause, neededBytes);
  }
}

/** `Deno.stat`, or undefined where nothing is at the path. */
export async function statOf(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    throw error;
  }
}

/** Removes a file or a directory with all in it; does nothing where there is none. */
export async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Names in a directory; none where it does not exist. */
export async function namesIn(path: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir(path)) names.push(entry.name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names.sort();
}

/** Writes a small file so that no reader ever sees a part of it. */
export async function writeAtomically(path: string, text: string, tmp: string): Promise<void> {
  const part = `${tmp}/${crypto.randomUUID()}.new`;
  const bytes = new TextEncoder().encode(text);
  await onDisk(`write ${path}`, tmp, async () => {
    try {
      await Deno.writeFile(part, bytes);
      await Deno.rename(part, path);
    } catch (error) {
      await removeIfThere(part);
      throw error;
    }
  }, bytes.length);
}

/** The unit file on the disk: written whole, and only where nobody else has written. */
import { dirname, join } from "node:path";
import { MdiError, messageOf } from "../../wasm/error.ts";
import { MARK, UNIT } from "./unit.ts";

/** Far more than a unit has. */
const MAX_BYTES = 2 ** 16;

/**
 * Writes the unit, in place of one that mdi wrote.
 * @throws {RangeError} where another file is there.
 * @throws {MdiError} disk
 */
export async function writeUnit(path: string, text: string): Promise<void> {
  await ownedUnit(path, "write");
  const part = join(dirname(path), `.${UNIT}.${crypto.randomUUID()}`);
  try {
    await Deno.mkdir(dirname(path), { recursive: true });
    try {
      await Deno.writeTextFile(part, text, { mode: 0o644, createNew: true });
      await Deno.chmod(part, 0o644); // whatever the umask
      await Deno.rename(part, path);
    } catch (error) {
      await Deno.remove(part).catch(() => {});
      throw error;
    }
  } catch (cause) {
    throw failure("write", path, cause);
  }
}

/**
 * Removes the unit that mdi wrote, and the link that enables it.
 * @returns whether there was one.
 * @throws {RangeError} where it is another's file.
 * @throws {MdiError} disk
 */
export async function removeUnit(path: string, target: string): Promise<boolean> {
  const found = await ownedUnit(path, "remove");
  const link = join(dirname(path), `${target}.wants`, UNIT);
  try {
    if (found) await Deno.remove(path);
    const info = await Deno.lstat(link).catch(ifThere);
    if (info?.isSymlink) await Deno.remove(link);
  } catch (cause) {
    throw failure("remove", path, cause);
  }
  return found;
}

/** Whether mdi's own unit is there. */
async function ownedUnit(path: string, what: string): Promise<boolean> {
  let own = false;
  try {
    const info = await Deno.lstat(path).catch(ifThere);
    if (!info) return false;
    own = info.isFile && info.size <= MAX_BYTES &&
      (await Deno.readTextFile(path)).startsWith(`${MARK}\n`);
  } catch (cause) {
    throw failure(what, path, cause);
  }
  if (own) return true;
  throw new RangeError(
    `Cannot ${what} "${path}": mdi has not written what is there; move it away, or name another directory with --dir`,
  );
}

function ifThere(error: unknown): undefined {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

function failure(what: string, path: string, cause: unknown): MdiError {
  const denied = cause instanceof Deno.errors.PermissionDenied;
  const remedy = denied
    ? "a unit of the whole device needs root: put sudo before mdi, or leave --system out"
    : "see whether its disk is full or read-only";
  return new MdiError("disk", `Cannot ${what} "${path}": ${messageOf(cause)}; ${remedy}`, {
    cause,
  });
}

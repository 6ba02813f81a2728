/** What can be told to be wrong before a byte is fetched. */
import { MdiError } from "../../wasm/error.ts";
import { formatBytes } from "../format_bytes.ts";

/** A clock that shows an earlier time than mdi was made in is wrong. */
const RELEASED = Date.UTC(2026, 0, 1);

/**
 * Refuses a model that no split makes fit.
 * @param bytes size of its files: at least what its weights take in memory.
 * @param memoryBytes what all nodes together have free; unknown where absent.
 * @throws {MdiError} memory
 */
export function requireMemory(
  what: string,
  bytes: number,
  memoryBytes: number | undefined,
): void {
  if (memoryBytes === undefined || bytes <= memoryBytes) return;
  throw new MdiError(
    "memory",
    `Cannot use ${what}: it has ${formatBytes(bytes)}, and the nodes together have ${
      formatBytes(memoryBytes)
    } of memory free; add nodes, or take a smaller model or dtype`,
    { details: { neededBytes: bytes, freeBytes: memoryBytes } },
  );
}

/**
 * Refuses to ask a server whose certificate a wrong clock would make look invalid. Boards without a
 * battery start in 1970 or at the time of their last shutdown.
 * @throws {MdiError} model_missing
 */
export function requireClock(url: URL, now: number = Date.now()): void {
  if (url.protocol !== "https:" || now >= RELEASED) return;
  throw new MdiError(
    "model_missing",
    `Cannot fetch from ${url.host}: this device's clock says ${
      new Date(now).toISOString().slice(0, 10)
    }, which has passed; set it, for example with "timedatectl set-ntp true", and try again`,
  );
}

/** Memory and swap. */
import { formatBytes } from "../../engine/format_bytes.ts";
import { bad, type Finding, good, warning } from "./finding.ts";

/** What is looked at, in bytes. */
export interface MemoryFacts {
  totalBytes: number;
  /** What this process may still take, within its cgroup's limit. */
  freeBytes: number;
  /** Of the cgroup; null where there is none. */
  limitBytes: number | null;
  swapTotalBytes: number;
  swapFreeBytes: number;
}

/** A process without any layers takes as much. */
const LEAST_BYTES = 100e6;
/** The default model on one node with its caches. */
const ROOMY_BYTES = 400e6;
/** Part of the memory that swapped pages may be before it shows. */
const SWAPPED_SHARE = 0.25;

const MORE = "end other programs, or give this node fewer layers with --layers";

/** Checks them. */
export function checkMemory(facts: MemoryFacts): Finding[] {
  return [memoryFinding(facts), swapFinding(facts)];
}

function memoryFinding({ totalBytes, freeBytes, limitBytes }: MemoryFacts): Finding {
  const value = { free_bytes: freeBytes, total_bytes: totalBytes, limit_bytes: limitBytes };
  const limit = limitBytes === null ? "" : `, limited to ${formatBytes(limitBytes)} by its cgroup`;
  const text = `${formatBytes(freeBytes)} free of ${formatBytes(totalBytes)}${limit}`;
  if (freeBytes < LEAST_BYTES) {
    return bad("memory", value, `${text}: too little to start`, MORE, "memory");
  }
  if (freeBytes < ROOMY_BYTES) {
    return warning("memory", value, `${text}: room for a few layers of a small model`, MORE);
  }
  return good("memory", value, text);
}

function swapFinding({ totalBytes, swapTotalBytes, swapFreeBytes }: MemoryFacts): Finding {
  const used = swapTotalBytes - swapFreeBytes;
  const value = { used_bytes: used, total_bytes: swapTotalBytes };
  if (swapTotalBytes === 0) return good("swap", value, "none");
  const text = `${formatBytes(used)} used of ${formatBytes(swapTotalBytes)}`;
  if (used < SWAPPED_SHARE * totalBytes) return good("swap", value, text);
  return warning(
    "swap",
    value,
    `${text}: weights that are swapped out are read again for every token`,
    MORE,
  );
}

/** How many threads compute where nobody says. */
import { MAX_THREADS } from "./stage.ts";

/** Where Linux tells of its processors; see the kernel's Documentation/admin-guide/cputopology.rst. */
const PROCESSORS = "/sys/devices/system/cpu";

/**
 * The physical cores that this process may use: two threads of one core share what products are
 * computed with, so that the second gives next to nothing. Where the system does not tell, the
 * processors: not on Linux, and not where Deno may not read `/sys`, which takes all permissions.
 */
export function defaultThreads(): number {
  const processors = navigator.hardwareConcurrency;
  const cores = countCores(siblingLists()) || processors;
  return Math.max(1, Math.min(cores, processors, MAX_THREADS));
}

/** Counts cores by the lists of processors that share one, as `thread_siblings_list` files have them. */
export function countCores(siblingLists: readonly string[]): number {
  return new Set(siblingLists.map((list) => list.trim())).size;
}

/** The list of each processor that is online; none where they cannot be read. */
function siblingLists(): string[] {
  if (Deno.build.os !== "linux") return [];
  // Asked first, as Deno may otherwise ask the user.
  const { state } = Deno.permissions.querySync({ name: "read", path: PROCESSORS });
  if (state !== "granted") return [];
  const lists: string[] = [];
  try {
    for (const { name } of Deno.readDirSync(PROCESSORS)) {
      const list = /^cpu\d+$/.test(name) ? siblingList(name) : undefined;
      if (list !== undefined) lists.push(list);
    }
  } catch {
    return []; // without all permissions, or no such directory
  }
  return lists;
}

function siblingList(processor: string): string | undefined {
  try {
    return Deno.readTextFileSync(`${PROCESSORS}/${processor}/topology/thread_siblings_list`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined; // offline
    throw error;
  }
}

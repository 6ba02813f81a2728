/** Memory that this process may still take. */
import { constrainedMemory } from "node:process";

/**
 * Bytes of memory that this process may still take: what is free, within its own limit and its cgroup's.
 * @param limitBytes what mdi may use in all; null for what is free.
 */
export function freeMemory(limitBytes: number | null): number {
  const { available } = Deno.systemMemoryInfo();
  const limit = Math.min(limitBytes ?? Infinity, memoryLimit() ?? Infinity);
  return limit === Infinity
    ? available
    : Math.max(0, Math.min(available, limit - Deno.memoryUsage().rss));
}

/**
 * Has what nobody uses any more freed now, where the process was started with `--expose-gc`: a WebAssembly memory
 * that was dropped is there until V8 looks for garbage, which it may not do for minutes. Takes some 10 ms.
 */
export function collectGarbage(): void {
  const { gc } = globalThis as { gc?: () => void };
  gc?.();
}

/** Bytes that the process's cgroup may have; null where there is no limit below the device's memory. */
export function memoryLimit(): number | null {
  // Deno reads /proc/self/cgroup and memory.max or memory.limit_in_bytes, which a script may do with all permissions only.
  const limit = constrainedMemory();
  return limit > 0 && limit < Deno.systemMemoryInfo().total ? limit : null;
}

/** One kind of error for whatever a caller's signal ended. */
import { MdiError } from "../wasm/error.ts";

/**
 * Runs `fn`.
 * @param what for the message: "open the ring".
 * @throws {MdiError} cancelled where the signal is aborted; else what `fn` throws.
 */
export async function cancellable<T>(
  what: string,
  signal: AbortSignal | undefined,
  fn: () => Promise<T>,
): Promise<T> {
  try {
    signal?.throwIfAborted();
    return await fn();
  } catch (cause) {
    if (!signal?.aborted || cause instanceof MdiError) throw cause;
    throw new MdiError("cancelled", `Cannot ${what}: cancelled by the caller`, { cause });
  }
}

/** What nodes say of their room for KV caches. */
import { MdiError } from "../wasm/error.ts";
import { MAX_KV_PAGE_TOKENS } from "../wasm/stage.ts";
import type { KvRoom } from "../engine/ring/kv_budget.ts";
import type { Ready } from "./gen/mdi/v1/control_pb.ts";

/**
 * A node's room as its Ready tells it.
 * @throws {MdiError} protocol where its caches grow by what is no power of 2, or too large a one.
 */
export function kvRoomOf(
  name: string,
  ready: Pick<Ready, "kvCapacityTokens" | "kvBytesPerToken" | "kvPageTokens">,
): KvRoom {
  const kvBytesPerToken = Number(ready.kvBytesPerToken);
  const kvPageTokens = ready.kvPageTokens || 1;
  if (kvPageTokens > MAX_KV_PAGE_TOKENS || !Number.isInteger(Math.log2(kvPageTokens))) {
    throw new MdiError(
      "protocol",
      `Cannot use ${name}: it has KV caches in pages of ${kvPageTokens} tokens`,
    );
  }
  return {
    memoryBytes: Number(ready.kvCapacityTokens) * kvBytesPerToken,
    kvBytesPerToken,
    kvPageTokens,
  };
}

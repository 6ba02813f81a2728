import { assertEquals } from "@std/assert";
import { MdiError, type MdiErrorCode } from "../wasm/error.ts";
import { errorCode, exitStatus } from "./exit.ts";

Deno.test("exitStatus() follows the documented list", () => {
  const statuses: Record<MdiErrorCode, number> = {
    model_missing: 3,
    model_corrupt: 3,
    model_unsupported: 3,
    context_exceeded: 2,
    address_in_use: 2,
    peer_unreachable: 4,
    peer_lost: 4,
    protocol: 4,
    refused_token: 5,
    refused_version: 5,
    busy: 5,
    memory: 6,
    disk: 6,
    cancelled: 130,
    internal: 1,
  };
  for (const [code, status] of Object.entries(statuses)) {
    const error = new MdiError(code as MdiErrorCode, "Cannot");
    assertEquals([errorCode(error), exitStatus(error)], [code, status]);
  }
});

Deno.test("errorCode() tells a person's mistakes from defects of mdi", () => {
  const thrown = (fn: () => unknown) => {
    try {
      fn();
    } catch (error) {
      return errorCode(error);
    }
    return undefined;
  };
  assertEquals(errorCode(new RangeError("Cannot use 0: give 1")), "usage");
  assertEquals(errorCode(new TypeError("Cannot use peer a:1 twice: leave one out")), "usage");
  // What JavaScript itself throws.
  assertEquals(thrown(() => (undefined as unknown as string[]).length), "internal");
  assertEquals(thrown(() => new Array(-1)), "internal");
  assertEquals(thrown(() => BigInt(1.5)), "internal");
  assertEquals(thrown(() => (({}) as { f(): void }).f()), "internal");
  assertEquals(thrown(() => new ArrayBuffer(Number.MAX_SAFE_INTEGER)), "memory");
  assertEquals(errorCode(new Error("Cannot x: y")), "internal");
  assertEquals(errorCode("text"), "internal");
});

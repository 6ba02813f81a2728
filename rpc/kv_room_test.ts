import { assertEquals, assertThrows } from "@std/assert";
import { MdiError } from "../wasm/error.ts";
import { kvRoomOf } from "./kv_room.ts";

Deno.test("kvRoomOf() takes pages of powers of 2 up to 1024, and 1 where none are told", () => {
  const room = (kvPageTokens: number) =>
    kvRoomOf("pi", { kvCapacityTokens: 640n, kvBytesPerToken: 10n, kvPageTokens });
  assertEquals(room(64), { memoryBytes: 6400, kvBytesPerToken: 10, kvPageTokens: 64 });
  assertEquals(room(0).kvPageTokens, 1);
  assertEquals(room(1024).kvPageTokens, 1024);
  for (const bad of [3, 48, 2048, 2 ** 32 - 1]) {
    const error = assertThrows(() => room(bad), MdiError, `Cannot use pi: it has KV caches`);
    assertEquals(error.code, "protocol");
  }
});

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { MdiError } from "../wasm/error.ts";
import { defaultThreads } from "../wasm/threads.ts";
import { type NodeOptions, resolveNode, resolvePeers } from "./ring_options.ts";
import { newToken } from "./token.ts";

const listen = { host: "127.0.0.1", port: 9470 };

Deno.test("resolvePeers() refuses the node itself only where its address was chosen", () => {
  assertThrows(() => resolvePeers("localhost", { listen, listenGiven: true }), TypeError, "itself");
  const [peer] = resolvePeers("127.0.0.1", { listen, listenGiven: false });
  assertEquals(peer, listen);
  assertEquals(resolvePeers(undefined, { listen, listenGiven: true }), []);
});

Deno.test("resolvePeers() refuses duplicates and more than 15", () => {
  const node = { listen, listenGiven: false };
  assertThrows(() => resolvePeers("a,b,a:9470", node), TypeError, "twice");
  const many = Array.from({ length: 16 }, (_, i) => `n${i}`);
  assertThrows(() => resolvePeers(many, node), RangeError, "at most 16");
  assertEquals(resolvePeers(many.slice(1), node).length, 15);
});

Deno.test("resolveNode() computes with the cores, or with what it is told", async () => {
  const home = await Deno.makeTempDir();
  try {
    const resolved = async (options: NodeOptions) => {
      const { backend, threads } = await resolveNode({ home, ...options });
      return [backend, threads];
    };
    assertEquals(await resolved({}), ["auto", defaultThreads()]);
    assertEquals(await resolved({ backend: "simd", threads: 64 }), ["simd", 64]);
    assertEquals(await resolved({ backend: "ort" }), ["ort", 1]);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});

Deno.test("resolveNode() listens on loopback without a token and everywhere with one", async () => {
  const home = await Deno.makeTempDir();
  try {
    const token = newToken();
    const open = await resolveNode({ home, token });
    assertEquals([open.listen.host, open.identity !== undefined], ["0.0.0.0", true]);
    const refused = await assertRejects(() => resolveNode({ home, token: "mdi1-x" }), MdiError);
    assertEquals(refused.code, "refused_token");
    await assertRejects(() => resolveNode({ home, memoryBytes: 5 }), RangeError);
    await assertRejects(() => resolveNode({ home, backend: "gpu" as "ort" }), RangeError);
    for (const threads of [0, 65, 1.5, NaN, -1]) {
      await assertRejects(() => resolveNode({ home, threads }), RangeError, "from 1 to 64");
    }
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});

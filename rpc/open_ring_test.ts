/** How a starter and its peers find each other: addresses of both protocols, and nodes of two addresses. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAddress } from "./address.ts";
import { openRing, type RingOptions } from "./open_ring.ts";
import { serveNode } from "./serve_node.ts";
import { newToken } from "./token.ts";

const MODEL = fileURLToPath(new URL("../tests/fixtures/tiny-llama-tied", import.meta.url));

/** The addresses of nodes that listen on the given hosts, and the options of a starter beside them. */
async function nodes(hosts: string[], token: string | undefined, stack: AsyncDisposableStack) {
  const directory = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(directory, { recursive: true }));
  const shared = token === undefined ? {} : { token };
  const peers = await Promise.all(hosts.map(async (host, i) => {
    const home = join(directory, `${i}`);
    return stack.use(await serveNode({ ...shared, home, listen: `${host}:0` })).address;
  }));
  const options: RingOptions = { ...shared, home: join(directory, "starter"), model: MODEL };
  return { peers, options };
}

Deno.test("openRing() listens where its peers reach it, on either protocol", async (t) => {
  const cases: [string, string[], string | undefined][] = [
    ["IPv6 alone", ["[::1]"], undefined],
    ["both, the last one by IPv6", ["127.0.0.1", "[::1]"], newToken()],
    ["both without a token, the last one by IPv4", ["[::1]", "127.0.0.1"], undefined],
  ];
  for (const [what, hosts, token] of cases) {
    await t.step(what, async () => {
      await using stack = new AsyncDisposableStack();
      const { peers, options } = await nodes(hosts, token, stack);
      await using ring = await openRing({
        ...options,
        peers,
        layers: [4 - hosts.length, ...hosts.map(() => 1)],
      });
      const { ids } = await ring.generate([1, 2, 3], {
        greedy: true,
        maxTokens: 2,
        ignoreEos: true,
      })
        .result;
      assertEquals(ids.length, 2);
    });
  }
});

Deno.test("openRing() refuses one node under two addresses", async () => {
  await using stack = new AsyncDisposableStack();
  const { peers, options } = await nodes(["127.0.0.1", "127.0.0.1"], undefined, stack);
  const again = `localhost:${parseAddress(peers[0]!).port}`;
  const error = await assertRejects(
    () => openRing({ ...options, peers: [peers[0]!, peers[1]!, again] }),
    TypeError,
  );
  assertStringIncludes(error.message, `Cannot use peer ${again}: it is the same node as`);
  // Both are free all the same.
  await using ring = await openRing({ ...options, peers });
  assertEquals(ring.plan.nodes.length, 3);
});

Deno.test("openRing() refuses KV caches that there are not, before it looks for anything", async () => {
  const refused = (options: object) =>
    assertRejects(() => openRing({ model: "/nowhere", ...options }), RangeError);
  const unknown = await refused({ kv: "f64" });
  assertStringIncludes(unknown.message, 'KV caches as "f64": there are "f32", "f16", "int8"');
  const without = await refused({ kv: "f16", backend: "ort" });
  assertStringIncludes(without.message, 'KV caches as f16: backend "ort" has none');
});

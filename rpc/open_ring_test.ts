/** How a starter and its peers find each other: addresses of both protocols, and nodes of two addresses. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MdiError } from "../wasm/error.ts";
import { parseAddress } from "./address.ts";
import { openRing, type RingOptions } from "./open_ring.ts";
import { Peer } from "./peer.ts";
import type { RingEvent } from "./ring_options.ts";
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

Deno.test("openRing() makes a ring that its signal ends, with peers and without", async (t) => {
  for (const hosts of [[], ["127.0.0.1"]]) {
    await t.step(`${hosts.length} peers`, async () => {
      await using stack = new AsyncDisposableStack();
      const { peers, options } = await nodes(hosts, undefined, stack);
      const ending = new AbortController();
      await using ring = await openRing({
        ...options,
        peers,
        layers: "even",
        signal: ending.signal,
      });
      const { result } = ring.generate([1], { greedy: true, maxTokens: 1000, ignoreEos: true });
      const generated = assertRejects(() => result, MdiError);
      ending.abort();
      assertEquals((await generated).code, "cancelled");
      assertEquals((await ring.ended as MdiError).code, "cancelled");
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
  await using ring = await openRing({ ...options, peers, layers: "even" });
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

/** A node that is to compute with ONNX Runtime, and one that may choose. */
async function mixedNodes(directory: string, stack: AsyncDisposableStack) {
  const start = async (name: string, backend: "auto" | "ort") => {
    const options = { home: join(directory, name), listen: "127.0.0.1:0", backend };
    return stack.use(await serveNode(options)).address;
  };
  return { auto: await start("auto", "auto"), ort: await start("ort", "ort") };
}

Deno.test("openRing() says once why the tokens of a mixed ring may differ, and its summary says it too", async () => {
  await using stack = new AsyncDisposableStack();
  const directory = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(directory, { recursive: true }));
  const { auto, ort } = await mixedNodes(directory, stack);
  const home = join(directory, "starter");
  const open = async (options: RingOptions) => {
    const events: RingEvent[] = [];
    await using ring = await openRing({
      ...{
        home,
        name: "here",
        model: MODEL,
        layers: "even",
        onEvent: (event) => events.push(event),
      },
      ...options,
    });
    const { nodes, deviations } = await ring.summary();
    const notes = events.filter(({ type, message }) =>
      type === "note" && message.includes("differ")
    );
    assertEquals(notes, deviations.map((message) => ({ type: "note", message })));
    return { backends: nodes.map(({ backend }) => backend), deviations };
  };
  const mixed = await open({ peers: [auto, ort] });
  assertEquals(mixed.backends, ["simd", "simd", "ort"]);
  assertEquals(mixed.deviations, [
    `tokens may differ from those of one node: simd computes on here and ${auto} and ort on ${ort} (started with --backend ort), which round differently; start ${ort} with --backend auto for the same tokens`,
  ]);
  const rounded = await open({ peers: [auto], wire: "f16" });
  assertEquals([rounded.backends, rounded.deviations.length], [["simd", "simd"], 1]);
  assertStringIncludes(rounded.deviations[0]!, "--wire f16");
});

Deno.test("openRing() refuses KV caches that a peer has not, as early as it is known", async (t) => {
  await using stack = new AsyncDisposableStack();
  const directory = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(directory, { recursive: true }));
  const { auto, ort } = await mixedNodes(directory, stack);
  const options: RingOptions = { home: join(directory, "starter"), kv: "int8" };
  const refused = async (changes: RingOptions) => {
    const error = await assertRejects(() => openRing({ ...options, ...changes }), MdiError);
    assertEquals(error.code, "model_unsupported");
    return error.message;
  };
  await t.step("where it was started with ort: before there is a model", async () => {
    assertEquals(
      await refused({ model: "/nowhere", peers: [auto, ort] }),
      `Cannot keep KV caches as int8: the backend of ${ort} is ort, which has f32 alone; start ${ort} with --backend auto, or leave --kv out`,
    );
  });
  await t.step(
    "where simd cannot run what the starter holds: without waiting for peers",
    async () => {
      const model = join(MODEL, "genai-webgpu-fp16");
      assertEquals(
        await refused({ model, tokenizer: MODEL, peers: [auto] }),
        'Cannot keep KV caches as int8: only backend "simd" can, and layer.0 passes its hidden rows on as two f16 tensors; leave --kv out',
      );
    },
  );
  await using ring = await openRing({ ...options, model: MODEL, peers: [auto], layers: "even" });
  assertEquals((await ring.summary()).nodes.map(({ kv }) => kv), ["int8", "int8"]);
});

Deno.test("openRing() says which peer was lost while it was measured, and nothing else", async () => {
  await using stack = new AsyncDisposableStack();
  const { peers, options } = await nodes(["127.0.0.1"], undefined, stack);
  const directory = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(directory, { recursive: true }));
  const dying = await serveNode({ home: directory, listen: "127.0.0.1:0" });
  stack.use(dying);
  const notes: string[] = [];
  let closing: PromiseLike<void> | undefined;
  const onEvent = ({ type, node, message }: RingEvent) => {
    if (type === "note") notes.push(message);
    if (node === dying.address) closing ??= dying[Symbol.asyncDispose]();
  };
  const opened = openRing({ ...options, peers: [...peers, dying.address], onEvent });
  const error = await assertRejects(() => opened, MdiError);
  assertEquals([error.code, notes], ["peer_lost", []], error.message);
  assertStringIncludes(error.message, dying.address);
  await closing;
});

Deno.test("openRing() closes its server where every peer is left out, and they are free", async () => {
  await using stack = new AsyncDisposableStack();
  const { options } = await nodes([], undefined, stack);
  const home = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(home, { recursive: true }));
  // Nobody has to measure what only stands for another device.
  const pace = { layer: { rows: [1], ms: [0.1] } };
  const peers = [stack.use(await serveNode({ home, listen: "127.0.0.1:0", pace })).address];
  const notes: string[] = [];
  const onEvent = ({ type, message }: RingEvent) => void (type === "note" && notes.push(message));
  const port = freePort();
  const listen = `127.0.0.1:${port}`;
  await using ring = await openRing({ ...options, peers, samples: 1, pace, listen, onEvent });
  assertEquals(ring.plan.nodes.length, 1);
  assertStringIncludes(notes.at(-1)!, "--layers even");
  await assertRejects(() => Deno.connect({ port }), Deno.errors.ConnectionRefused);
  const dialling = { identity: undefined, name: "another", needed: [] };
  await using _free = await Peer.connect(parseAddress(peers[0]!), dialling);
});

function freePort(): number {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  return listener.addr.port;
}

/** What a secondary does with configurations, links and messages that no real starter sends. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { MdiError } from "../wasm/error.ts";
import { TestStarter } from "./_test_starter.ts";
import { pause, until } from "./_test_util.ts";
import { type Configure, KvType } from "./gen/mdi/v1/control_pb.ts";
import type { Peer } from "./peer.ts";
import { type MdiNode, serveNode, type ServeNodeOptions } from "./serve_node.ts";

/** A starter by hand and a secondary, both gone when it is disposed. */
interface Pair extends AsyncDisposable {
  starter: TestStarter;
  node: MdiNode;
  home: string;
  logged: string[];
}

async function pair(options: ServeNodeOptions = {}, modelFile?: string): Promise<Pair> {
  await using stack = new AsyncDisposableStack();
  const directory = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(directory, { recursive: true }));
  const starter = stack.use(await TestStarter.start(join(directory, "starter"), modelFile));
  const home = join(directory, "node");
  const logged: string[] = [];
  const node = stack.use(
    await serveNode({
      home,
      listen: "127.0.0.1:0",
      onLog: (line) => logged.push(line),
      ...options,
    }),
  );
  const owned = stack.move();
  return { starter, node, home, logged, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A stay that relays: configured, with the predecessor's link. */
async function relaying({ starter, node }: Pair, stack: AsyncDisposableStack) {
  const peer = stack.use(await starter.claim(node));
  const ready = await peer.configure(starter.configuration(), () => {});
  const link = stack.use(await starter.link(node));
  await peer.open();
  return { peer, ready, link, returned: await starter.returned };
}

Deno.test("A secondary refuses a configuration that contradicts itself, and is free again", async (t) => {
  await using test = await pair();
  const { starter, node } = test;
  const { manifest } = starter;
  const spoilt: [string, Partial<Configure>, string, string][] = [
    ["layers backwards", { firstLayer: 3, lastLayer: 2 }, "protocol", "layers 3 to 2"],
    ["layers beyond", { lastLayer: 4 }, "protocol", "layers 2 to 4 of a model of 4"],
    ["the starter's index", { index: 0 }, "protocol", "number 0 of 2"],
    ["an index beyond", { index: 2 }, "protocol", "number 2 of 2"],
    ["too many nodes", { nodes: 17 }, "protocol", "number 1 of 17"],
    ["no context", { context: 0 }, "protocol", "a context of 0"],
    ["more context", { context: 2 ** 31 }, "protocol", "a context of 2147483648"],
    ["a wire format", { wire: 9 as Configure["wire"] }, "protocol", "wire format number 9"],
    ["a type of caches", { kv: 9 as Configure["kv"] }, "protocol", "KV caches number 9"],
    ["spans", { spans: 2 ** 20 + 1 }, "protocol", "1048577 spans to keep"],
    ["a successor", { successor: "http://x/" }, "protocol", 'address "http://x/"'],
    ["a provider", { providers: [""] }, "protocol", "it is empty"],
    ["many providers", { providers: Array(17).fill("a") }, "protocol", "17 nodes"],
    ["no manifest", { manifest: "" }, "protocol", "not JSON"],
    ["no object", { manifest: "[]" }, "protocol", "expected an object"],
    ["a layer less", { manifest: without(manifest, "layer.2") }, "protocol", "number of blocks"],
    ["a long manifest", { manifest: " ".repeat(9 * 2 ** 20) }, "protocol", "9437184 characters"],
  ];
  for (const [what, changes, code, words] of spoilt) {
    await t.step(what, async () => {
      await using peer = await starter.claim(node);
      const configuring = peer.configure(starter.configuration(changes), () => {});
      const error = await assertRejects(() => configuring, MdiError);
      assertEquals(error.code, code, error.message);
      assertStringIncludes(error.message, words);
    });
  }
  await using peer = await starter.claim(node);
  const ready = await peer.configure(starter.configuration(), () => {});
  assert(ready.weightBytesReceived > 0n);
  const twice = peer.configure(starter.configuration(), () => {});
  assertStringIncludes((await assertRejects(() => twice, MdiError)).message, "twice");
});

Deno.test("A secondary says before it fetches that its memory is too small", async () => {
  await using test = await pair({ memoryBytes: 2 ** 26 });
  const { starter, node, home } = test;
  await using peer = await starter.claim(node);
  const progress: string[] = [];
  const error = await assertRejects(
    () => peer.configure(starter.configuration(), (what) => progress.push(what)),
    MdiError,
  );
  assertEquals(error.code, "memory");
  assertStringIncludes(error.message, "layers 2 to 3");
  assertStringIncludes(error.message, "--layers");
  assertEquals(progress, []);
  assertEquals(await Array.fromAsync(Deno.readDir(join(home, "blocks"))), []);
});

Deno.test("A secondary whose backend has no such KV caches says so before it fetches", async () => {
  await using test = await pair({ backend: "ort" });
  const { starter, node, home } = test;
  await using peer = await starter.claim(node);
  const configuring = peer.configure(starter.configuration({ kv: KvType.INT8 }), () => {});
  const error = await assertRejects(() => configuring, MdiError);
  assertEquals(error.code, "model_unsupported");
  assertStringIncludes(
    error.message,
    "KV caches as int8: this node was started with --backend ort",
  );
  assertEquals(await Array.fromAsync(Deno.readDir(join(home, "blocks"))), []);
});

Deno.test("A secondary whose layers only ort can run says that it has no such KV caches", async () => {
  await using test = await pair({}, "genai-webgpu-fp16");
  const { starter, node } = test;
  await using peer = await starter.claim(node);
  const configuring = peer.configure(starter.configuration({ kv: KvType.INT8 }), () => {});
  const error = await assertRejects(() => configuring, MdiError);
  assertEquals(
    [error.code, error.message],
    [
      "model_unsupported",
      `${node.address}: Cannot keep KV caches as int8: only backend "simd" can, and layer.2 passes its hidden rows on as two f16 tensors; leave --kv out`,
    ],
  );
});

Deno.test("A secondary says what computes and with which caches", async () => {
  await using test = await pair({ backend: "ort", threads: 3 });
  await using peer = await test.starter.claim(test.node);
  assertEquals([peer.device.backend, peer.device.threads], ["ort", 1]);
  const ready = await peer.configure(test.starter.configuration(), () => {});
  assertEquals(
    [ready.backend, ready.backendReason, ready.threads, ready.kv],
    ["ort", "", 1, KvType.F32],
  );
  assert(ready.notes.includes("one thread computes: ort has no more"), ready.notes.join());
});

Deno.test("A secondary takes one link, from the node before it", async () => {
  await using test = await pair();
  await using stack = new AsyncDisposableStack();
  const { starter, node } = test;
  const peer = stack.use(await starter.claim(node));
  await peer.configure(starter.configuration(), () => {});
  const wrong = await assertRejects(() => starter.link(node, 1), MdiError);
  assertEquals(wrong.code, "protocol");
  assertStringIncludes(wrong.message, "node 0 comes before this one");
  stack.use(await starter.link(node));
  const second = await assertRejects(() => starter.link(node), MdiError);
  assertEquals(second.code, "protocol");
  assertStringIncludes(second.message, "already linked");
  await peer.open();
  assertEquals((await peer.stats()).bytesSent > 0n, true);
});

Deno.test("A secondary holds the caches that it offered to hold, and no more", async () => {
  await using test = await pair({ memoryBytes: Deno.memoryUsage().rss + 500e6 });
  await using stack = new AsyncDisposableStack();
  const { starter } = test;
  const { peer, ready, link, returned } = await relaying(test, stack);
  const reading = Array.fromAsync(returned).catch(() => {});
  const offered = Number(ready.kvCapacityTokens);
  const full = Math.floor(offered / 512);
  // Caches are taken in whole pages: 449 tokens take as much as 512.
  assertEquals([ready.kvPageTokens, offered % 64], [64, 0]);
  for (let sample = 0; sample < full; sample++) await link.send(starter.cache(sample, 449));
  // One that goes makes room for another one.
  await link.send(starter.cache(0, 0));
  await link.send(starter.cache(full, 449));
  const lost = await Promise.race([peer.lost, peer.stats()]);
  assert(!(lost instanceof Error), String(lost));
  await link.send(starter.cache(full + 1, 449));
  const error = await peer.lost;
  await reading;
  assertEquals(error.code, "protocol", error.message);
  assertStringIncludes(error.message, `${full * 512 + 512} would be reserved`);
  assertStringIncludes(error.message, `this node offered ${offered}`);
});

Deno.test("A secondary says at once that it cannot compute, though nothing more comes", async () => {
  await using test = await pair();
  await using stack = new AsyncDisposableStack();
  const { peer, link } = await relaying(test, stack);
  await link.send(test.starter.row(3, 9));
  const error = await peer.lost;
  assertEquals(error.code, "protocol");
  assertStringIncludes(error.message, "its cache is not open");
});

Deno.test("A secondary reports a link that breaks, unless its starter is about to close the ring", async () => {
  for (const released of [false, true]) {
    await using test = await pair();
    await using stack = new AsyncDisposableStack();
    const { peer, link, returned } = await relaying(test, stack);
    if (released) await peer.release();
    returned.close();
    await link.send(test.starter.cache(0, 8)).catch(() => {}); // nobody takes it on
    const reported = () => test.logged.some((line) => line.startsWith("cannot go on"));
    if (released) await end(peer, test.logged);
    else await until(reported);
    assertEquals(reported(), !released, test.logged.join("\n"));
  }
});

/** Waits until the stay is over, its links closed by whatever broke them. */
async function end(peer: Peer, logged: readonly string[]): Promise<void> {
  await pause(100); // in which it would report
  await peer[Symbol.asyncDispose]();
  await until(() => logged.includes("free again"));
}

function without(manifest: TestStarter["manifest"], name: string): string {
  const blocks = manifest.blocks.filter((block) => block.name !== name);
  return JSON.stringify({ ...manifest, blocks });
}

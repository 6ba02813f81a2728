import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import type { BlockEntry } from "../engine/model/types.ts";
import { openStore, type Store } from "../engine/store/store.ts";
import { MdiError } from "../wasm/error.ts";
import { freePort } from "./_test_util.ts";
import type { Address } from "./address.ts";
import { ControlService } from "./control_service.ts";
import { describeDevice } from "./device.ts";
import { fetchBlocks, type FetchOptions } from "./fetch_blocks.ts";
import { Control, type FetchRequest } from "./gen/mdi/v1/control_pb.ts";
import { serve } from "./server.ts";

const LISTEN = { host: "127.0.0.1", port: 0 };
const DATA = ["layer.0", "layer.1"].map((name, i) => ({
  name,
  data: new Uint8Array(300_000).map((_, at) => at * (i + 3)),
}));
const BLOCKS: BlockEntry[] = await Promise.all(DATA.map(async ({ name, data }) => ({
  name,
  hash: new Uint8Array(await crypto.subtle.digest("SHA-256", data)).toHex(),
  bytes: data.length,
  parameters: data.length,
  dtypes: ["F32"],
  requires: [],
})));
const TOTAL = DATA.length * 300_000;

/** A store to fetch into, and what happens meanwhile. */
async function fetching(stack: AsyncDisposableStack) {
  const directory = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(directory, { recursive: true }));
  const store = await openStore(join(directory, "into"));
  const pin = stack.use(await store.pin());
  const progress: number[] = [];
  const fetch = (providers: Address[], options: Partial<FetchOptions> = {}) =>
    fetchBlocks(BLOCKS, {
      store,
      identity: undefined,
      providers,
      pin,
      signal: new AbortController().signal,
      onProgress(done, total) {
        assertEquals(total, TOTAL);
        progress.push(done);
      },
      ...options,
    });
  return { directory, store, progress, fetch };
}

/** A real node that holds the given blocks. */
async function holder(
  directory: string,
  blocks: typeof DATA,
  stack: AsyncDisposableStack,
): Promise<{ address: Address; store: Store }> {
  const store = await openStore(directory);
  for (const { data } of blocks) await store.putNew([data]);
  const describe = () =>
    describeDevice(directory, { backend: "ort", threads: 1, memoryBytes: null });
  const control = new ControlService({ name: "holder", store, describe, log() {} });
  const routes = (router: Parameters<ControlService["routes"]>[0]) => control.routes(router);
  return { address: stack.use(await serve({ listen: LISTEN, routes })).address, store };
}

/** A node that says it has everything, and sends what `send` yields. */
async function claimant(
  send: (request: FetchRequest) => Iterable<Uint8Array>,
  stack: AsyncDisposableStack,
): Promise<Address> {
  const server = await serve({
    listen: LISTEN,
    routes: (router) =>
      router.service(Control, {
        has: ({ hashes }) => ({ present: hashes.map(() => true) }),
        async *fetch(request) {
          for (const data of send(request)) yield { data };
        },
      }),
  });
  return stack.use(server).address;
}

function dataOf(hash: string): Uint8Array {
  return DATA[BLOCKS.findIndex((block) => block.hash === hash)]!.data;
}

Deno.test("fetchBlocks() takes each block from a node that has it", async () => {
  await using stack = new AsyncDisposableStack();
  const { directory, store, progress, fetch } = await fetching(stack);
  const first = await holder(join(directory, "a"), [DATA[0]!], stack);
  const second = await holder(join(directory, "b"), [DATA[1]!], stack);
  const nobody = { host: "127.0.0.1", port: await freePort() };
  assertEquals(await fetch([nobody, second.address, first.address]), TOTAL);
  assertEquals(await store.missing(BLOCKS), []);
  assertEquals(progress.at(-1), TOTAL);
  assertEquals(progress, progress.toSorted((a, b) => a - b));
  assertEquals(await fetch([nobody]), 0, "what is there is not fetched again");
});

Deno.test("fetchBlocks() goes on where a fetch broke off, and counts each byte once", async () => {
  await using stack = new AsyncDisposableStack();
  const { store, progress, fetch } = await fetching(stack);
  const offsets: bigint[] = [];
  const provider = await claimant(function* ({ hash, offset }) {
    offsets.push(offset);
    const data = dataOf(hash);
    const piece = data.slice(Number(offset), Number(offset) + 200_000);
    if (piece.length > 0) yield piece;
    if (Number(offset) + 200_000 < data.length) throw new Error("the disk of the provider failed");
  }, stack);
  assertEquals(await fetch([provider]), TOTAL);
  assertEquals(offsets.slice(0, 2), [0n, 200_000n]);
  assertEquals(progress, [200_000, 300_000, 500_000, 600_000]);
  assertEquals(await store.missing(BLOCKS), []);
});

Deno.test("fetchBlocks() goes on with what an earlier call left", async () => {
  await using stack = new AsyncDisposableStack();
  const { progress, fetch } = await fetching(stack);
  const stopping = new AbortController();
  const provider = await claimant(function* ({ hash, offset }) {
    for (let at = Number(offset); at < 300_000; at += 100_000) {
      yield dataOf(hash).slice(at, at + 100_000);
    }
  }, stack);
  await assertRejects(() =>
    fetch([provider], { signal: stopping.signal, onProgress: () => stopping.abort() })
  );
  assertEquals(await fetch([provider]), TOTAL - 100_000);
  assertEquals(progress, [200_000, 300_000, 400_000, 500_000, 600_000]);
});

Deno.test("fetchBlocks() does not store what its hash does not name, and asks another node", async () => {
  await using stack = new AsyncDisposableStack();
  const { directory, store, fetch } = await fetching(stack);
  const wrong = await claimant(function* () {
    yield new Uint8Array(300_000);
  }, stack);
  const long = await claimant(function* () {
    yield new Uint8Array(300_001);
  }, stack);
  const right = await holder(join(directory, "a"), DATA, stack);
  await fetch([wrong, long, right.address]);
  assertEquals(await store.missing(BLOCKS), []);
  for (const { name, hash } of BLOCKS) {
    assertEquals(await store.read(hash, 0, 300_000), DATA.find((it) => it.name === name)!.data);
  }
});

Deno.test("fetchBlocks() takes a block whose last byte came, however the call ends", async () => {
  await using stack = new AsyncDisposableStack();
  const { store, fetch } = await fetching(stack);
  let calls = 0;
  const provider = await claimant(function* ({ hash, offset }) {
    calls++;
    yield dataOf(hash).slice(Number(offset));
    throw new Error("the provider failed after its last byte");
  }, stack);
  await fetch([provider]);
  assertEquals([calls, await store.missing(BLOCKS)], [BLOCKS.length, []]);
});

Deno.test("fetchBlocks() says why nobody gives a block", async () => {
  await using stack = new AsyncDisposableStack();
  const { directory, fetch } = await fetching(stack);
  const { address } = await holder(join(directory, "a"), [DATA[0]!], stack);
  const none = await assertRejects(() => fetch([address]), MdiError);
  assertEquals(none.code, "peer_unreachable");
  assert(none.message.endsWith("no node of the ring has it"), none.message);
  const port = await freePort();
  const dead = await assertRejects(() => fetch([address, { host: "127.0.0.1", port }]), MdiError);
  assertStringIncludes(dead.message, "Cannot fetch block layer.1");
  assertStringIncludes(dead.message, `127.0.0.1:${port}: the connection is refused`);
});

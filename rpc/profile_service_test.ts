/** Nodes that measure themselves: what they tell, when they refuse, and what is taken from them. */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { join } from "node:path";
import { MdiError } from "../wasm/error.ts";
import { AsyncQueue } from "../engine/async_queue.ts";
import { TestStarter } from "./_test_starter.ts";
import { parseAddress } from "./address.ts";
import { measureLink } from "./echo.ts";
import { fromConnectError } from "./error.ts";
import { Control, type EchoRequest, EchoRequestSchema, KvType } from "./gen/mdi/v1/control_pb.ts";
import { readLink, readProfiled } from "./measure_nodes.ts";
import { Peer } from "./peer.ts";
import { serveNode } from "./serve_node.ts";
import { openSession } from "./session.ts";

const SOON = { signal: AbortSignal.timeout(120_000), identity: undefined };

/** A starter by hand and a free node, and what the node is asked. */
async function starterAndNode(stack: AsyncDisposableStack) {
  const directory = await Deno.makeTempDir({ prefix: "mdi-test-" });
  stack.defer(() => Deno.remove(directory, { recursive: true }));
  const starter = stack.use(await TestStarter.start(join(directory, "starter")));
  const node = stack.use(
    await serveNode({ home: join(directory, "node"), listen: "127.0.0.1:0", threads: 1 }),
  );
  const request = (changes: object = {}) => ({
    starter: "by-hand",
    manifest: JSON.stringify(starter.manifest),
    providers: [starter.address],
    kv: KvType.F32,
    again: false,
    ...changes,
  });
  const connect = (name = "by-hand") =>
    Peer.connect(parseAddress(node.address), { identity: undefined, name, needed: [] });
  return { starter, node, request, connect };
}

/** What a promise fails with. */
async function errorOf(promise: Promise<unknown>): Promise<MdiError> {
  return await assertRejects(() => promise, MdiError);
}

Deno.test("Profile measures a node with one layer, once, for one starter at a time", async (t) => {
  await using stack = new AsyncDisposableStack();
  const { starter, node, request, connect } = await starterAndNode(stack);
  const peer = stack.use(await connect());
  const told: string[] = [];
  await t.step("others are refused meanwhile, by name", async () => {
    const second = stack.use(await connect("second"));
    const begun = Promise.withResolvers<void>();
    const measured = peer.profile(request(), (what) => {
      told.push(what);
      begun.resolve();
    });
    await Promise.race([begun.promise, measured]);
    for (
      const refused of [second.profile(request(), () => {}), second.claim("second"), connect()]
    ) {
      const error = await errorOf(refused);
      assertEquals([error.code, /"by-hand"/.test(error.message)], ["busy", true], error.message);
    }
    const { kept, profile, facts } = await measured;
    assertEquals(kept, false);
    assert(facts);
    const { backend, layer, embed } = readProfiled("node", { profile });
    assertEquals([backend, embed], ["simd", null]);
    assert(layer.ms.every((ms) => ms > 0));
    assertEquals(new Set(told).has("fetch") && new Set(told).has("measure"), true, `${told}`);
  });
  await t.step("what was measured is kept, and measured again where that is wanted", async () => {
    const start = performance.now();
    assertEquals((await peer.profile(request(), () => {})).kept, true);
    assert(performance.now() - start < 2000);
  });
  await t.step(
    "links are measured in their order, and one that leads nowhere says so",
    async () => {
      const links = await peer.measureLinks(
        "by-hand",
        [starter.address, "127.0.0.1:1"],
        SOON.signal,
      );
      assertEquals(links.length, 2);
      const link = readLink("node", links[0]!)!;
      assert(link.rttMs > 0 && link.rttMs < 5000 && link.mbit > 0.1, JSON.stringify(link));
      assertEquals(readLink("node", links[1]!), undefined);
    },
  );
  await t.step("a node that serves a ring is not disturbed", async () => {
    await using owner = await starter.claim(node);
    for (
      const refused of [
        peer.profile(request(), () => {}),
        peer.measureLinks("by-hand", [], SOON.signal),
        measureLink(parseAddress(node.address), SOON),
      ]
    ) {
      assertEquals((await errorOf(refused)).code, "busy");
    }
    assert(owner);
  });
});

Deno.test("Profile and MeasureLinks refuse what no starter asks, and the node is free again", async () => {
  await using stack = new AsyncDisposableStack();
  const { request, connect } = await starterAndNode(stack);
  const peer = stack.use(await connect());
  const many = Array.from({ length: 17 }, (_, i) => `127.0.0.1:${i + 1}`);
  for (
    const changes of [
      { manifest: "{" },
      { manifest: '{"version":1}' },
      { kv: 77 },
      { providers: many },
      { providers: ["http://169.254.169.254/latest"] },
      { providers: ["0.0.0.0:9470"] },
    ]
  ) {
    const { code } = await errorOf(peer.profile(request(changes), () => {}));
    assert(code === "protocol" || code === "model_corrupt", `${JSON.stringify(changes)}: ${code}`);
  }
  for (const addresses of [many, ["a b"], ["user@host"], [""], ["[::]:1"]]) {
    assertEquals((await errorOf(peer.measureLinks("x", addresses, SOON.signal))).code, "protocol");
  }
  await using _free = await connect();
});

Deno.test("A measurement ends with the starter that asked for it", async () => {
  await using stack = new AsyncDisposableStack();
  const { request, connect } = await starterAndNode(stack);
  const begun = Promise.withResolvers<void>();
  const peer = await connect();
  const measured = peer.profile(request({ again: true }), () => begun.resolve());
  const ended = assertRejects(() => measured);
  await begun.promise;
  await peer[Symbol.asyncDispose]();
  await ended;
  for (let attempt = 0;; attempt++) {
    try {
      await using _free = await connect("second");
      break;
    } catch (error) {
      if (attempt === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
});

Deno.test("Echo answers what a measurement asks and no more", async () => {
  await using stack = new AsyncDisposableStack();
  const { node } = await starterAndNode(stack);
  const ask = async (answerBytes: number) => {
    await using session = openSession(parseAddress(node.address));
    const requests = new AsyncQueue<EchoRequest>();
    requests.push(create(EchoRequestSchema, { answerBytes }));
    requests.end();
    try {
      const answers = await Array.fromAsync(
        createClient(Control, session.transport).echo(requests),
      );
      return answers.map(({ data }) => data.length);
    } catch (error) {
      throw fromConnectError(error, "the node");
    }
  };
  assertEquals(await ask(100), [100]);
  assertEquals((await errorOf(ask(2 ** 31))).code, "protocol");
  const gone = await errorOf(measureLink(parseAddress("127.0.0.1:1"), SOON));
  assertEquals(gone.code, "peer_unreachable");
});

Deno.test("readLink() and readProfiled() take no numbers that there cannot be", () => {
  for (
    const [rttMs, mbit, messageCpuMs] of [
      [NaN, 1, 1],
      [-1, 1, 1],
      [Infinity, 1, 1],
      [1e9, 1, 1],
      [1, NaN, 1],
      [1, -5, 1],
      [1, Infinity, 1],
      [1, 1e12, 1],
      [1, 1, -1],
      [1, 1, Infinity],
    ] as [number, number, number][]
  ) {
    const figures = { rttMs, mbit, messageCpuMs };
    assertEquals(assertThrows(() => readLink("a", figures), MdiError).code, "protocol");
  }
  assertEquals(readLink("a", { rttMs: 0, mbit: 0, messageCpuMs: 0 }), undefined);
  const link = { rttMs: 0.5, mbit: 100, messageCpuMs: 0.4 };
  assertEquals(readLink("a", link), link);
  for (
    const profile of [
      "",
      "null",
      "[]",
      '{"backend":"simd"}',
      "{".repeat(70_000),
      '{"backend":"simd","threads":1,"layer":{"rows":[1],"ms":[1e999]}}',
    ]
  ) {
    const error = assertThrows(() => readProfiled("a", { profile }), MdiError);
    assertEquals(error.code, "protocol");
    assertStringIncludes(error.message, "a measured");
  }
});

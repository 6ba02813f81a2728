import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { MdiError } from "../wasm/error.ts";
import { TestStarter } from "./_test_starter.ts";
import { type Address, parseAddress } from "./address.ts";
import { Control, type ServeRequest, type ServeResponse } from "./gen/mdi/v1/control_pb.ts";
import { Peer } from "./peer.ts";
import { serveNode } from "./serve_node.ts";
import { serve } from "./server.ts";
import { ownIdentity } from "./version.ts";

const OPTIONS = { identity: undefined, name: "tester", needed: [] };
const WELCOME = { case: "welcome", value: { $typeName: "mdi.v1.Welcome" } } as const;

type Answer = ServeResponse["message"];

/** A node that answers a claim, and every later request, with what `answer` makes of it. */
async function scripted(
  answer: (request: ServeRequest["message"]) => Answer[],
  stack: AsyncDisposableStack,
  hello: object = {},
): Promise<Address> {
  const server = await serve({
    listen: { host: "127.0.0.1", port: 0 },
    routes: (router) =>
      router.service(Control, {
        hello: () => ({ node: ownIdentity("scripted"), device: { cores: 1 }, ...hello }),
        async *serve(requests) {
          for await (const { message } of requests) {
            for (const each of answer(message)) yield { message: each };
          }
        },
      }),
  });
  return stack.use(server).address;
}

Deno.test("Peer.stats() may be called again before it has its answer", async () => {
  await using stack = new AsyncDisposableStack();
  let asked = 0n;
  const address = await scripted(({ case: kind }) => {
    if (kind !== "stats") return [WELCOME];
    return [{
      case: "stats",
      value: {
        $typeName: "mdi.v1.Stats",
        computeMs: 0,
        codecMs: 0,
        bytesSent: ++asked,
        kvPeakBytes: 0n,
        rssBytes: 0n,
      },
    }];
  }, stack);
  const peer = stack.use(await Peer.connect(address, OPTIONS));
  await peer.claim("tester");
  const stats = await Promise.all([peer.stats(), peer.stats(), peer.stats()]);
  assertEquals(stats.map(({ bytesSent }) => bytesSent), [1n, 2n, 3n]);
});

Deno.test("Peer.connect() refuses a node that serves another ring or does not say what it is", async () => {
  await using stack = new AsyncDisposableStack();
  const cases = [
    [{ serving: "other" }, "busy", '"other"'],
    [{ device: undefined }, "protocol", "what it is"],
    [{ node: undefined }, "refused_version", "wire version 0"],
  ] as const;
  for (const [hello, code, words] of cases) {
    const address = await scripted(() => [], stack, hello);
    const error = await assertRejects(() => Peer.connect(address, OPTIONS), MdiError);
    assertEquals(error.code, code, error.message);
    assertStringIncludes(error.message, words);
  }
});

Deno.test("Peer is lost where its node answers what was not asked, or fails", async () => {
  await using stack = new AsyncDisposableStack();
  const failure = (code: string): Answer => ({
    case: "failure",
    value: { $typeName: "mdi.v1.Failure", code, message: "it says so" },
  });
  const cases: [Answer, string, string][] = [
    [{ case: "linked", value: { $typeName: "mdi.v1.Linked" } }, "protocol", '"linked" unasked'],
    [failure("memory"), "memory", "it says so"],
    [failure("constructor"), "peer_lost", "it says so"],
  ];
  for (const [answer, code, words] of cases) {
    const address = await scripted(
      ({ case: kind }) => kind === "claim" ? [WELCOME] : [answer],
      stack,
    );
    const peer = stack.use(await Peer.connect(address, OPTIONS));
    await peer.claim("tester");
    const error = await assertRejects(() => peer.stats(), MdiError);
    assertEquals(error.code, code, error.message);
    assertStringIncludes(error.message, words);
    assertEquals(await peer.lost, error);
    assertEquals(await assertRejects(() => peer.open()), error, "and stays lost");
    await peer.release();
  }
});

Deno.test("Peer says in plain words that its node closed the connection", async () => {
  await using stack = new AsyncDisposableStack();
  const directory = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(directory, { recursive: true }));
  const starter = stack.use(await TestStarter.start(join(directory, "starter")));
  const node = await serveNode({ home: join(directory, "node"), listen: "127.0.0.1:0" });
  const peer = stack.use(await starter.claim(node));
  const asked = peer.configure(starter.configuration(), () => {});
  await node.close();
  const error = await assertRejects(() => asked, MdiError);
  assertEquals(error.code, "peer_lost");
  assertEquals(error.message, `Lost ${node.address}: it closed the connection`);
  assert(await peer.gone);
});

Deno.test("Peer.instance tells one node under two addresses", async () => {
  await using stack = new AsyncDisposableStack();
  const directory = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(directory, { recursive: true }));
  const [a, b] = await Promise.all(
    ["a", "b"].map(async (name) =>
      stack.use(await serveNode({ home: join(directory, name), listen: "127.0.0.1:0" }))
    ),
  );
  const connect = async (address: Address) => stack.use(await Peer.connect(address, OPTIONS));
  const { port } = parseAddress(a!.address);
  const [first, again, other] = await Promise.all([
    connect({ host: "127.0.0.1", port }),
    connect({ host: "localhost", port }),
    connect(parseAddress(b!.address)),
  ]);
  assert(first.instance.length >= 32);
  assertEquals(again.instance, first.instance);
  assert(other.instance !== first.instance);
});

/** What a starter says, and how it exits, where no ring can be made; and what a secondary's port endures. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createClient } from "@connectrpc/connect";
import { serveNode, type ServeNodeOptions } from "../mod.ts";
import { formatAddress } from "../rpc/address.ts";
import { fromConnectError } from "../rpc/error.ts";
import { Control } from "../rpc/gen/mdi/v1/control_pb.ts";
import { serve } from "../rpc/server.ts";
import { openSession } from "../rpc/session.ts";
import { newToken } from "../rpc/token.ts";
import { VERSION, WIRE_VERSION } from "../rpc/version.ts";
import { runMdi, startSecondary } from "./support/mdi_process.ts";

const LOCAL = { host: "127.0.0.1", port: 0 };
const MODEL = fileURLToPath(new URL("fixtures/tiny-qwen2", import.meta.url));
const LAYERS = 2;
const FUTURE = { wireVersion: WIRE_VERSION + 1, version: "99.0.0", name: "future" };

Deno.test("mdi --starter says why there can be no ring", async (t) => {
  await using stack = new AsyncDisposableStack();
  const directory = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(directory, { recursive: true }));
  const [ours, theirs] = [newToken(), newToken()];
  const node = async (name: string, options: ServeNodeOptions = {}) => {
    const home = join(directory, name);
    return stack.use(await serveNode({ home, listen: "127.0.0.1:0", ...options })).address;
  };
  const plain = await Promise.all(["a", "b", "c"].map((name) => node(name)));
  const [a, b] = plain as [string, string];
  const closed = await node("with a token", { token: ours });
  const ort = await node("with ONNX Runtime alone", { backend: "ort" });
  const future = await futureNode(stack);
  const unused = unusedPort();

  const cases: [string, string[], number, string, RegExp][] = [
    ["another token", ["--peers", closed, "--token", theirs], 5, "refused_token", /token/],
    ["no token where there is one", ["--peers", closed], 5, "refused_token", /token/],
    ["a token where there is none", ["--peers", a, "--token", ours], 5, "refused_token", /token/],
    [
      "a device far away without a token",
      ["--peers", "192.0.2.1"],
      5,
      "refused_token",
      /mdi token new/,
    ],
    [
      "another wire version",
      ["--peers", `${a},${future}`],
      5,
      "refused_version",
      new RegExp(`99\\.0\\.0 .*version ${WIRE_VERSION + 1}.*${VERSION} .*version ${WIRE_VERSION}`),
    ],
    [
      "an unknown host",
      ["--peers", "no-such-host.invalid", "--token", ours],
      4,
      "peer_unreachable",
      /no-such-host\.invalid.*does not resolve/,
    ],
    [
      "a port where nobody listens",
      ["--peers", `${a},127.0.0.1:${unused}`],
      4,
      "peer_unreachable",
      new RegExp(`127\\.0\\.0\\.1:${unused}: the connection is refused`),
    ],
    [
      "KV caches that a node's backend has not",
      ["--peers", ort, "--kv", "int8"],
      3,
      "model_unsupported",
      /KV caches as int8: the backend of 127\.0\.0\.1:\d+ is ort/,
    ],
    ["itself", ["--peers", "localhost:9470", "--listen", "localhost:9470"], 2, "usage", /itself/],
    ["a peer twice", ["--peers", `${a},${b},${a}`], 2, "usage", /twice/],
    [
      "more nodes than layers",
      ["--peers", plain.join(","), "--layers", "even"],
      2,
      "usage",
      /4 nodes|2 layers/,
    ],
    ["layers that do not add up", ["--peers", a, "--layers", "1,2"], 2, "usage", /3.*2 layers/],
    ["a secondary without layers", ["--peers", a, "--layers", "2,0"], 2, "usage", /0/],
    ["layers for another number of nodes", ["--peers", a, "--layers", "2"], 2, "usage", /2 nodes/],
  ];
  for (const [what, args, status, reason, words] of cases) {
    await t.step(what, async () => {
      const ended = await runMdi(
        [
          ...["--starter", "--json", "--quiet", "--model", MODEL, "--dtype", "fp32"],
          ...["--prompt-ids", "1", ...args],
        ],
        { home: join(directory, "starter") },
      );
      const error = ended.records.at(-1);
      assertEquals([error?.code, ended.code], [reason, status], ended.stderr);
      assertMatch(String(error?.message), words);
      assert(!ended.stderr.includes("    at "), ended.stderr);
      for (const token of [ours, theirs]) {
        assert(!(ended.stdout + ended.stderr).includes(token), "a token is shown");
      }
    });
  }

  await t.step("a secondary refuses a starter of another wire version", async () => {
    const port = Number(a.split(":").at(-1));
    await using session = openSession({ ...LOCAL, port });
    const client = createClient(Control, session.transport);
    const failure = await assertRejects(() => client.hello({ caller: FUTURE }));
    const error = fromConnectError(failure, a);
    assertEquals(error.code, "refused_version");
    assertMatch(error.message, new RegExp(`99\\.0\\.0 .*${VERSION} `));
  });
});

Deno.test("mdi --secondary serves a ring with a token, whatever strangers send to its port", async () => {
  await using stack = new AsyncDisposableStack();
  const directory = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(directory, { recursive: true }));
  const env = { MDI_TOKEN: newToken() };
  const secondary = await startSecondary({ home: join(directory, "secondary"), env });
  stack.use(secondary);
  const port = Number(secondary.address.split(":").at(-1));

  const text = new TextEncoder();
  const garbage = [
    crypto.getRandomValues(new Uint8Array(65_536)),
    text.encode("GET / HTTP/1.1\r\nHost: pi\r\n\r\n"),
    text.encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Uint8Array.of(22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3), // a ClientHello that stops
  ];
  const idle = await Promise.all(
    Array.from({ length: 100 }, () => Deno.connect({ hostname: "127.0.0.1", port })),
  );
  stack.defer(() => idle.forEach((connection) => connection.close()));
  await Promise.all(garbage.map(async (bytes) => {
    using connection = await Deno.connect({ hostname: "127.0.0.1", port });
    await connection.write(bytes).catch(() => {}); // it may have been closed already
  }));

  const { code, records, stderr } = await runMdi([
    ..."--starter --json --quiet --dtype fp32 --layers 1,1 --prompt-ids 1,2 --tokens 3".split(" "),
    ...["--model", MODEL, "--peers", secondary.address],
  ], { home: join(directory, "starter"), env });
  assertEquals(code, 0, stderr);
  assertEquals(records.at(-1)?.type, "summary");
  secondary.kill("SIGTERM");
  assertEquals((await secondary.ended).code, 143);
});

/** A node that answers as one of a later release would. */
async function futureNode(stack: AsyncDisposableStack): Promise<string> {
  const server = await serve({
    listen: LOCAL,
    routes: (router) =>
      router.service(Control, {
        hello: () => ({ node: { ...FUTURE, capabilities: [] }, device: { threads: LAYERS } }),
      }),
  });
  return formatAddress(stack.use(server).address);
}

function unusedPort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

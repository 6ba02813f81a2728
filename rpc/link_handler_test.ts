import { assert, assertEquals, assertRejects } from "@std/assert";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { endStreamFromJson } from "@connectrpc/connect/protocol-connect";
import { Buffer } from "node:buffer";
import type { RingMessage } from "../engine/ring/message.ts";
import { MdiError } from "../wasm/error.ts";
import { row, SMALL } from "./_link_contract.ts";
import { pause, rawConnectionTo } from "./_test_util.ts";
import { encodeEnvelope, EnvelopeDecoder } from "./envelope.ts";
import { createFrameCodec } from "./frame.ts";
import { Dtype, LinkRequestSchema, Ring } from "./gen/mdi/v1/ring_pb.ts";
import type { LinkTerms } from "./link.ts";
import { connectLink, LINK_PATH, openLink } from "./link_connect.ts";
import { createLinkHandler } from "./link_handler.ts";
import { type NodeServer, serve } from "./server.ts";
import { openSession } from "./session.ts";

const EPOCH = 7;
const PROTO = "application/connect+proto";
const codec = createFrameCodec(SMALL);

/** What an end of a hostile stream said. */
interface Outcome {
  status: number;
  error: string | undefined;
  message: string;
}

Deno.test("createLinkHandler() ends a bad stream with its reason and serves the next one", async (t) => {
  await using node = await startNode();
  const good = frame({});
  const big = encodeEnvelope(new Uint8Array(0));
  new DataView(big.buffer).setUint32(1, 2 ** 30);
  const cases: [string, Uint8Array[], string][] = [
    ["a frame before the hello", [frame({ hidden: new Uint8Array(0) })], "frame before a hello"],
    [
      "a cache change before the hello",
      [request({ case: "cache", value: {} })],
      "cache before a hello",
    ],
    ["an empty message", [encodeEnvelope(new Uint8Array(0))], "nothing before a hello"],
    ["two hellos", [hello(), hello()], "a second hello"],
    ["a hello of another epoch", [hello(8)], "epoch 8"],
    ["a long hello", [encodeEnvelope(new Uint8Array(65))], "65 bytes"],
    ["1 GB before the hello", [big], "1073741824 bytes"],
    ["1 GB after the hello", [hello(), big], "1073741824 bytes"],
    [
      "garbage for a message",
      [hello(), encodeEnvelope(new Uint8Array(9).fill(255))],
      "LinkRequest",
    ],
    ["garbage for an envelope", [new Uint8Array(64).fill(0x47)], "bytes"],
    ["a compressed message", [hello(), encodeEnvelope(new Uint8Array(4), 1)], "compressed"],
    ["an end-stream message", [hello(), encodeEnvelope(new Uint8Array(2), 2)], "flags"],
    ["another dtype", [hello(), frame({ dtype: Dtype.F16 })], "dtype"],
    ["an unknown dtype", [hello(), frame({ dtype: 9 })], "dtype"],
    ["a short payload", [hello(), frame({ hidden: new Uint8Array(63) })], "hidden"],
    ["a long payload", [hello(), frame({ hidden: new Uint8Array(68) })], "hidden"],
    ["no rows", [hello(), frame({ rows: [0], hidden: new Uint8Array(0) })], "rows"],
    ["4,294,967,295 rows", [hello(), frame({ rows: [2 ** 32 - 1] })], "position"],
    ["a position beyond the context", [hello(), frame({ position: [SMALL.context] })], "position"],
    ["a sample twice", [hello(), twice()], "sample"],
    ["lists of different lengths", [hello(), frame({ wanted: [] })], "wanted"],
    ["more wanted than rows", [hello(), frame({ wanted: [2] })], "wanted"],
    ["more messages than credits", [hello(), ...Array(9).fill(good)], "credits"],
  ];
  for (const [name, writes, expected] of cases) {
    await t.step(name, async () => {
      const outcome = await attack(node.server, writes);
      assertEquals(outcome.status, 200);
      assertEquals(outcome.error, "protocol", outcome.message);
      assert(outcome.message.includes(expected), outcome.message);
      await node.serves();
    });
  }
});

Deno.test("createLinkHandler() refuses a stream that ends inside a message", async () => {
  await using node = await startNode();
  const whole = frame({});
  for (const writes of [[hello(), whole.subarray(0, 20)], [hello().subarray(0, 3)], []]) {
    const outcome = await attack(node.server, writes, { end: true });
    assertEquals(outcome.error, "protocol", outcome.message);
  }
  await node.serves();
});

Deno.test("createLinkHandler() speaks binary Connect only", async () => {
  await using node = await startNode();
  for (const type of ["application/connect+json", "application/json", "application/grpc", ""]) {
    assertEquals((await attack(node.server, [hello()], { type, end: true })).status, 415);
  }
  await node.serves();
});

Deno.test("createLinkHandler() waits for a hello for a limited time", async () => {
  await using node = await startNode({ helloTimeoutMs: 50 });
  const outcome = await attack(node.server, [hello().subarray(0, 2)]);
  assert(outcome.message.includes("no hello in 50 ms"), outcome.message);
  await node.serves();
});

Deno.test("createLinkHandler() survives garbage on the port and connections cut short", async () => {
  await using node = await startNode();
  const { host: hostname, port } = node.server.address;
  for (
    const bytes of [
      new Uint8Array(4096).fill(0xaa),
      new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"),
    ]
  ) {
    using connection = await Deno.connect({ hostname, port });
    await connection.write(bytes);
    await connection.read(new Uint8Array(1024)).catch(() => null);
  }
  const session = openSession(node.server.address);
  await openLink(session, { codec, epoch: EPOCH, from: 2 });
  session.abort();
  await session.close();
  await assertRejects(() => node.lastLink!, MdiError, "predecessor");
  await node.serves();
});

Deno.test("createLinkHandler() understands a generated Connect client", async () => {
  await using node = await startNode();
  const session = openSession(node.server.address);
  const sent = row(3);
  async function* requests() {
    yield create(LinkRequestSchema, {
      message: { case: "hello", value: { epoch: EPOCH, from: 2 } },
    });
    yield codec.encode(sent);
  }
  const credits: number[] = [];
  for await (const response of createClient(Ring, session.transport).link(requests())) {
    credits.push(response.credits);
  }
  assertEquals(credits, [8]);
  assertEquals(await node.lastLink, [sent]);
  await session.close();
});

Deno.test("openLink() is understood by a generated Connect handler", async () => {
  const cases: string[] = [];
  const server = await serve({
    listen: { host: "127.0.0.1", port: 0 },
    routes: (router) =>
      router.service(Ring, {
        async *link(requests) {
          yield { credits: 2 };
          for await (const { message } of requests) cases.push(message.case!);
          throw new ConnectError("enough", Code.ResourceExhausted);
        },
      }),
  });
  const link = await connectLink(server.address, { codec, epoch: EPOCH, from: 0 });
  await link.send(row(0));
  await link[Symbol.asyncDispose]();
  const reason = await link.down;
  assertEquals(cases, ["hello", "frame"]);
  assertEquals(reason?.message, "From the successor: enough");
  await server.close();
});

Deno.test("connectLink() says what it met where there is no link", async () => {
  const bare = await serve({ listen: { host: "127.0.0.1", port: 0 }, routes() {} });
  const terms = { codec, epoch: EPOCH, from: 0 };
  const error = await assertRejects(() => connectLink(bare.address, terms), MdiError, "404");
  assertEquals(error.code, "refused_version");
  const silent = await serve({
    listen: { host: "127.0.0.1", port: 0 },
    routes: createLinkHandler(() => ({ codec, credits: 1, receive() {} })),
  });
  const { address } = silent;
  await silent.close();
  const unreachable = await assertRejects(() => connectLink(address, terms), MdiError);
  assertEquals(unreachable.code, "peer_unreachable");
  await bare.close();
});

Deno.test("openLink() does not wait for ever for an answer", async () => {
  const server = await serve({
    listen: { host: "127.0.0.1", port: 0 },
    routes: (router) =>
      router.service(Ring, {
        // deno-lint-ignore require-yield
        async *link(_, { signal }) {
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
        },
      }),
  });
  const options = { codec, epoch: EPOCH, from: 0, openTimeoutMs: 50 };
  await assertRejects(() => connectLink(server.address, options), MdiError, "in 50 ms");
  await server.close();
});

/** A node that takes links of EPOCH and remembers what the last one brought. */
async function startNode(options: { helloTimeoutMs?: number } = {}) {
  const node = {
    lastLink: undefined as Promise<RingMessage[]> | undefined,
    server: await serve({
      listen: { host: "127.0.0.1", port: 0 },
      routes: createLinkHandler(({ epoch }): LinkTerms => {
        if (epoch !== EPOCH) throw new MdiError("protocol", `Cannot take a link of epoch ${epoch}`);
        return {
          codec,
          credits: 8,
          receive(link) {
            // Reads late, so that credits can run out.
            node.lastLink = pause(20).then(() => Array.fromAsync(link));
            node.lastLink.catch(() => {});
          },
        };
      }, options),
    }),
    async serves() {
      const link = await connectLink(node.server.address, { codec, epoch: EPOCH, from: 2 });
      await link.send(row(1));
      await link[Symbol.asyncDispose]();
      assertEquals((await node.lastLink)?.length, 1);
    },
    [Symbol.asyncDispose]: () => node.server.close(),
  };
  return node;
}

/** Writes to the link's path with nothing of mdi in between. */
async function attack(
  server: NodeServer,
  writes: Uint8Array[],
  { type = PROTO, end = false } = {},
): Promise<Outcome> {
  await using connection = rawConnectionTo(server);
  const outcome: Outcome = { status: 0, error: undefined, message: "" };
  const ended = Promise.withResolvers<void>();
  const decoder = new EnvelopeDecoder(4096);
  const stream = connection.session.request({
    ":method": "POST",
    ":path": LINK_PATH,
    "content-type": type,
  });
  stream.on("response", (headers) => outcome.status = Number(headers[":status"]));
  stream.on("error", () => {});
  stream.on("end", ended.resolve);
  stream.on("data", (chunk: Uint8Array) => {
    for (const { flags, data } of decoder.decode(chunk)) {
      if (flags !== 2) continue;
      const { error } = endStreamFromJson(data);
      outcome.error = error?.metadata.get("mdi-code") ?? undefined;
      outcome.message = error?.rawMessage ?? "";
    }
  });
  for (const bytes of writes) stream.write(Buffer.from(bytes));
  if (end) stream.end();
  await ended.promise;
  await pause(0);
  return outcome;
}

function request(
  message: NonNullable<MessageInitShape<typeof LinkRequestSchema>["message"]>,
): Uint8Array {
  return encodeEnvelope(toBinary(LinkRequestSchema, create(LinkRequestSchema, { message })));
}

function hello(epoch = EPOCH): Uint8Array {
  return request({ case: "hello", value: { epoch, from: 2 } });
}

function frame(fields: Record<string, unknown>): Uint8Array {
  const good = {
    epoch: EPOCH,
    sample: [1],
    position: [0],
    rows: [1],
    wanted: [1],
    hidden: new Uint8Array(4 * SMALL.dModel),
  };
  return request({ case: "frame", value: { ...good, ...fields } });
}

function twice(): Uint8Array {
  const hidden = new Uint8Array(8 * SMALL.dModel);
  return frame({ sample: [4, 4], position: [0, 1], rows: [1, 1], wanted: [1, 1], hidden });
}

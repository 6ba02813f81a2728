import { assert, assertEquals, assertRejects } from "@std/assert";
import type { OutgoingHttpHeaders } from "node:http2";
import * as net from "node:net";
import * as tls from "node:tls";
import { MdiError } from "../wasm/error.ts";
import {
  controlOf,
  freePort,
  hello,
  openDescriptors,
  pause,
  rawConnectionTo,
  ringWithExpiredMember,
  serveTest,
  sessionTo,
  until,
} from "./_test_util.ts";
import { fromConnectError } from "./error.ts";
import { deriveIdentity, RING_SERVER_NAME, type RingIdentity } from "./identity.ts";
import { type NodeServer, serve } from "./server.ts";
import { newToken, parseToken } from "./token.ts";

const TOKEN = newToken();
const member = await deriveIdentity(parseToken(TOKEN), "member");
const host = await deriveIdentity(parseToken(TOKEN), "host");
const stranger = await deriveIdentity(parseToken(newToken()), "stranger");
const LOCAL = "127.0.0.1";

/** Opens a TCP connection, does as told, and waits until the server has closed it. */
async function turnedAway(
  server: NodeServer,
  act: (socket: net.Socket) => void,
  limitMs = 2000,
): Promise<void> {
  const socket = net.connect(server.address.port, server.address.host);
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  const timer = setTimeout(() => socket.destroy(new Error("not closed")), limitMs);
  const errors: string[] = [];
  socket.on("error", (error) => errors.push(error.message));
  socket.resume();
  socket.once("connect", () => act(socket));
  await closed;
  clearTimeout(timer);
  assert(!errors.includes("not closed"), `the server holds the connection for ${limitMs} ms`);
}

/** One HTTP/2 request with any headers; the status, or why there is none. */
async function rawRequest(
  server: NodeServer,
  headers: OutgoingHttpHeaders,
): Promise<number | string> {
  await using connection = rawConnectionTo(server);
  return await new Promise((resolve) => {
    const stream = connection.session.request(headers);
    stream.on("response", (response) => resolve(response[":status"]!));
    stream.on("error", (error: Error) => resolve(error.message));
    stream.on("close", () => resolve("closed"));
    stream.end();
  });
}

Deno.test("serve() admits a member and knows its name", async () => {
  await using test = await serveTest({ identity: host });
  await using session = sessionTo(test.server, { identity: member });
  assertEquals(await hello(session), "member");
  assertEquals(test.seen.callers, ["member"]);
  assertEquals(test.server.refused, 0);
});

Deno.test("serve() turns away whoever is no member, and both sides live on", async () => {
  const expiredRing = await ringWithExpiredMember();
  const cases: [string, RingIdentity | undefined, RingIdentity | undefined][] = [
    ["another token", host, stranger],
    ["a certificate of another ring", host, { ...stranger, ca: host.ca }],
    ["another ring's key", host, { ...member, key: stranger.key }],
    ["a garbled certificate", host, { ...member, cert: garble(member.cert) }],
    ["an expired certificate", expiredRing.good, expiredRing.expired],
    ["no token against one", host, undefined],
    ["a token against none", undefined, member],
  ];
  for (const [what, server, client] of cases) {
    // Deno keeps the socket of a client that cannot use its own certificate, so the limit is short.
    await using test = await serveTest({ identity: server, handshakeTimeoutMs: 300 });
    await using session = sessionTo(test.server, { identity: client, connectTimeoutMs: 1000 });
    const failed = await assertRejects(() => hello(session));
    const error = fromConnectError(failed, "the peer");
    assertEquals(session.error, error);
    assertEquals(error.code, "refused_token", `${what}: ${error.message}`);
    assert(error.message.includes(`127.0.0.1:${test.server.address.port}`), what);
    assert(!error.message.includes(TOKEN.slice(5, 14)));
    assertEquals(test.seen.callers, [], what);
    await until(() => test.server.connections === 0);
    assertEquals(test.server.refused, 1, what);
    await using good = sessionTo(test.server, { identity: server });
    assertEquals(await hello(good), server?.name ?? "nobody");
  }
});

function garble(pem: string): string {
  const lines = pem.split("\n");
  lines[2] = [...lines[2]!].reverse().join("");
  return lines.join("\n");
}

Deno.test("serve() speaks TLS 1.3 only, asks for a certificate, and speaks h2 only", async () => {
  await using test = await serveTest({ identity: host });
  const { port } = test.server.address;
  const { ca, cert, key } = member;
  const base = { host: LOCAL, port, ca, servername: RING_SERVER_NAME };
  const h2 = ["h2"];
  const attempts: tls.ConnectionOptions[] = [
    { ...base, cert, key, maxVersion: "TLSv1.2", ALPNProtocols: h2 },
    { ...base, ALPNProtocols: h2 },
    { ...base, cert, key, ALPNProtocols: ["http/1.1"] },
  ];
  for (const options of attempts) {
    const socket = tls.connect(options);
    let received = "";
    socket.on("error", () => {});
    socket.on("data", (data) => received += data);
    socket.on("secureConnect", () => socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    const timer = setTimeout(() => socket.destroy(), 4000);
    await new Promise<void>((resolve) => socket.once("close", () => resolve()));
    clearTimeout(timer);
    assert(!received.includes("200"));
  }
  await until(() => test.server.connections === 0);
  assertEquals(test.server.refused, 3);
  await using session = sessionTo(test.server, { identity: member });
  assertEquals(await hello(session), "member");
});

Deno.test("serve() closes garbage, silence and half a preface", async () => {
  const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  for (const identity of [undefined, host]) {
    await using test = await serveTest({ identity, handshakeTimeoutMs: 200 });
    const acts: ((socket: net.Socket) => void)[] = [
      () => {},
      (socket) => socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
      (socket) => socket.write(crypto.getRandomValues(new Uint8Array(65536))),
      (socket) => socket.write(new Uint8Array(1 << 20)),
      (socket) => socket.write(preface.slice(0, 10)),
      (socket) => socket.write(preface),
      (socket) => socket.write(preface + "\xff\xff\xff\xff".repeat(50)),
      (socket) => socket.write(Uint8Array.of(22, 3, 1, 2, 0, 1)),
      (socket) => socket.end(),
    ];
    await Promise.all(acts.map((act) => turnedAway(test.server, act)));
    await until(() => test.server.connections === 0);
    assertEquals(test.server.refused, acts.length);
    await using session = sessionTo(test.server, { identity });
    await hello(session);
  }
});

Deno.test("serve() closes a handshake that trickles in", async () => {
  for (const identity of [undefined, host]) {
    await using test = await serveTest({ identity, handshakeTimeoutMs: 300 });
    const bytes = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    const start = performance.now();
    await turnedAway(test.server, (socket) => {
      let at = 0;
      const trickle = setInterval(() => socket.write(bytes.subarray(at, ++at)), 40);
      socket.once("close", () => clearInterval(trickle));
    });
    assert(performance.now() - start < 1000);
  }
});

Deno.test("serve() limits the connections, and takes new ones when some have gone", async () => {
  await using test = await serveTest({ maxConnections: 2, handshakeTimeoutMs: 300 });
  const holders = [1, 2].map(() => turnedAway(test.server, () => {}));
  await until(() => test.server.connections === 2);
  await turnedAway(test.server, () => {}, 100);
  assertEquals(test.server.refused, 1);
  await Promise.all(holders);
  await using session = sessionTo(test.server);
  assertEquals(await hello(session), "nobody");
});

Deno.test("serve() takes POST and protobuf only, and malformed requests end alone", async () => {
  await using test = await serveTest();
  const ok = {
    ":method": "POST",
    ":path": "/mdi.v1.Control/Hello",
    "content-type": "application/proto",
  };
  const status = (headers: OutgoingHttpHeaders) => rawRequest(test.server, { ...ok, ...headers });
  assertEquals(await status({}), 200);
  assertEquals(await status({ "content-type": "application/json" }), 415);
  assertEquals(await status({ "content-type": "application/connect+json" }), 415);
  assertEquals(await status({ "content-type": "application/grpc" }), 415);
  assertEquals(await status({ "content-type": "" }), 415);
  assertEquals(await status({ ":method": "GET" }), 405);
  assertEquals(await status({ ":method": "PUT" }), 405);
  assertEquals(await status({ ":path": "/" }), 404);
  assertEquals(await status({ ":path": "/mdi.v1.Control/Hello?x=1" }), 404);
  assertEquals(await status({ ":path": "/__proto__" }), 404);
  for (
    const headers of [
      { ":authority": "[" },
      { ":authority": "a b" },
      { ":path": "*" },
      { ":path": "//[" },
      { "content-encoding": "gzip" },
      { "connect-timeout-ms": "-1" },
      { "connect-timeout-ms": "9".repeat(100) },
      { filler: "x".repeat(100_000) },
    ]
  ) assert(await status(headers) !== 200, JSON.stringify(headers).slice(0, 60));
  await using session = sessionTo(test.server);
  assertEquals(await hello(session), "nobody");
});

Deno.test("serve() refuses a message over its limit", async () => {
  await using test = await serveTest({ readMaxBytes: 1000 });
  await using session = sessionTo(test.server);
  const hash = "x".repeat(2000);
  await assertRejects(() => controlOf(session).has({ hashes: [hash] }));
  const first = () => controlOf(session).fetch({ hash })[Symbol.asyncIterator]().next();
  await assertRejects(first);
  assertEquals(await hello(session), "nobody");
});

Deno.test("serve() says why it cannot listen", async () => {
  await using test = await serveTest();
  const routes = () => {};
  const attempt = async (listen: { host: string; port: number }, identity?: RingIdentity) =>
    await assertRejects(() => serve({ listen, routes, identity }), MdiError);
  const taken = await attempt({ host: LOCAL, port: test.server.address.port });
  assertEquals(taken.code, "address_in_use");
  assertEquals(
    taken.message,
    `Cannot listen on 127.0.0.1:${test.server.address.port}: another program listens there; ` +
      "choose another with --listen",
  );
  const foreign = await attempt({ host: "192.0.2.1", port: 9470 }, host);
  assertEquals(foreign.code, "address_in_use");
  assert(foreign.message.includes("no address of this device"), foreign.message);
  const unknown = await attempt({ host: "no-such-host.invalid", port: 1 }, host);
  assertEquals(unknown.code, "address_in_use");
  assert(unknown.message.includes("does not resolve"));
  const open = await attempt({ host: "0.0.0.0", port: 0 });
  assertEquals(open.code, "refused_token");
});

Deno.test("serve() ends with its signal", async () => {
  const routes = () => {};
  const listen = { host: LOCAL, port: 0 };
  const aborted = AbortSignal.abort();
  const early = await assertRejects(() => serve({ listen, routes, signal: aborted }), MdiError);
  assertEquals(early.code, "cancelled");
  const controller = new AbortController();
  await using server = await serve({ listen, routes, signal: controller.signal });
  await using session = sessionTo(server);
  await session.ready();
  controller.abort();
  await until(() => session.error !== undefined, 500);
  await server.close();
  await serveTest({ listen: server.address }).then((test) => test.server.close());
});

Deno.test("NodeServer.close() frees the port at once, with streams open, five times over", async () => {
  const listen = { host: LOCAL, port: await freePort() };
  for (const identity of [undefined, host, undefined, host, host]) {
    const test = await serveTest({ listen, identity });
    await using session = sessionTo(test.server, { identity });
    const fetch = controlOf(session).fetch({ offset: 1000n })[Symbol.asyncIterator]();
    await fetch.next();
    const silent = net.connect(listen.port, LOCAL);
    silent.on("error", () => {});
    await until(() => test.server.connections === 2);
    const start = performance.now();
    await test.server.close();
    assert(performance.now() - start < 500);
    await until(() => session.error !== undefined && test.seen.fetchesEnded === 1);
    silent.destroy();
  }
});

Deno.test("serve() ends a handler whose caller is gone, whenever it goes", async () => {
  for (let round = 0; round < 60; round++) {
    await using test = await serveTest();
    const ending = new AbortController();
    await using session = sessionTo(test.server);
    const answers = controlOf(session).fetch({ offset: 1000n }, { signal: ending.signal });
    // Nobody reads on: the handler waits for room, in one of the places where it may.
    const first = answers[Symbol.asyncIterator]().next().catch(() => {});
    await pause(round % 13);
    const ends = [
      () => ending.abort(),
      () => session[Symbol.asyncDispose](),
      () => test.server.close(),
    ];
    await ends[round % 3]!();
    await first;
    await until(() => test.seen.fetchesEnded === 1 || test.seen.fetchedMessages === 0, 1000);
  }
});

Deno.test("NodeServer leaves no descriptor open after 1,000 connections", async () => {
  for (const identity of [undefined, host]) {
    await using test = await serveTest({ identity });
    await using warm = sessionTo(test.server, { identity });
    await hello(warm);
    const before = openDescriptors();
    for (let round = 0; round < 10; round++) {
      const raw = Array.from(
        { length: 40 },
        (_, i) =>
          turnedAway(
            test.server,
            (socket) => i % 2 ? socket.end() : socket.end("garbage".repeat(9)),
          ),
      );
      const sessions = Array.from({ length: 10 }, async (_, i) => {
        await using session = sessionTo(test.server, { identity });
        if (i % 2) await hello(session);
        else await session.ready();
      });
      await Promise.all([...raw, ...sessions]);
    }
    await until(() => test.server.connections === 1);
    await pause(50);
    assertEquals(openDescriptors(), before);
    assertEquals(test.server.refused, 400);
  }
});

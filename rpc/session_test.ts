import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { createClient } from "@connectrpc/connect";
import type { MdiError } from "../wasm/error.ts";
import {
  controlOf,
  freePort,
  hello,
  pause,
  relayTo,
  serveTest,
  sessionTo,
  tcpServer,
  until,
} from "./_test_util.ts";
import { fromConnectError } from "./error.ts";
import { Control } from "./gen/mdi/v1/control_pb.ts";
import { Ring } from "./gen/mdi/v1/ring_pb.ts";
import { deriveIdentity } from "./identity.ts";
import { openSession } from "./session.ts";

const LOCAL = "127.0.0.1";
const identity = await deriveIdentity(new Uint8Array(16), "tester");

async function failureOf(promise: Promise<unknown>): Promise<MdiError> {
  try {
    await promise;
  } catch (error) {
    return fromConnectError(error, "the peer");
  }
  throw new Error("The promise did not reject");
}

Deno.test("Session calls and knows both ends of its connection", async () => {
  await using test = await serveTest();
  await using session = sessionTo(test.server);
  assertEquals(session.localAddress, undefined);
  assertEquals(await hello(session), "nobody");
  assertEquals(session.remoteAddress, test.server.address);
  assertEquals(session.localAddress?.host, LOCAL);
  assert(session.localAddress!.port > 0);
  await until(() => session.rttMs > 0);
  assertEquals(session.error, undefined);
});

Deno.test("Session connects on the first call, and once for many", async () => {
  await using test = await serveTest();
  await using session = sessionTo(test.server);
  await pause(20);
  assertEquals(test.server.connections, 0);
  await Promise.all(Array.from({ length: 20 }, () => hello(session)));
  assertEquals(test.server.connections, 1);
});

Deno.test("Session reaches a name and an IPv6 address", async () => {
  await using test = await serveTest({ listen: { host: "localhost", port: 0 } });
  await using byName = openSession({ host: "localhost", port: test.server.address.port });
  assertEquals(await hello(byName), "nobody");
  await using six = await serveTest({ listen: { host: "::1", port: 0 }, identity });
  await using bySix = sessionTo(six.server, { identity });
  assertEquals(await hello(bySix), "tester");
  assertEquals(bySix.remoteAddress?.host, "::1");
});

Deno.test("Session reaches a server on all addresses by either protocol", async () => {
  await using test = await serveTest({ listen: { host: "::", port: 0 }, identity });
  const { port } = test.server.address;
  for (const host of ["127.0.0.1", "::1"]) {
    await using session = openSession({ host, port }, { identity });
    assertEquals(await hello(session), "tester");
    assertEquals(session.localAddress?.host, host);
  }
});

Deno.test("Session.ready() tells why a peer cannot be reached", async () => {
  for (const options of [{}, { identity }]) {
    const address = { host: LOCAL, port: await freePort() };
    await using refused = openSession(address, options);
    const error = await failureOf(refused.ready());
    assertEquals(error.code, "peer_unreachable");
    assert(error.message.startsWith(`Cannot reach 127.0.0.1:${address.port}: the connection is`));
    assertEquals(await failureOf(hello(refused)), error);
    assertEquals(refused.error, error);

    await using unknown = openSession({ host: "no-such-host.invalid", port: 1 }, options);
    const nameError = await failureOf(hello(unknown));
    assertEquals(nameError.code, "peer_unreachable");
    assert(nameError.message.includes("does not resolve"));
  }
});

Deno.test("Session.ready() gives up on a peer that does not answer", async () => {
  await using tarpit = await tcpServer(() => {});
  for (const options of [{}, { identity }]) {
    await using session = openSession(tarpit.address, { ...options, connectTimeoutMs: 150 });
    const start = performance.now();
    const error = await failureOf(session.ready());
    assertEquals(error.code, "peer_unreachable");
    assert(error.message.includes("no answer in 150 ms"));
    assert(performance.now() - start < 1000);
  }
});

Deno.test("Session survives a peer that closes at once or speaks something else", async () => {
  await using closer = await tcpServer((socket) => socket.destroy());
  await using ender = await tcpServer((socket) => socket.end());
  await using babbler = await tcpServer((socket) => socket.write("SSH-2.0-x\r\n".repeat(100)));
  for (const { address } of [closer, ender, babbler]) {
    for (const options of [{}, { identity }]) {
      await using session = openSession(address, { ...options, connectTimeoutMs: 500 });
      const error = await failureOf(hello(session));
      assert(["peer_unreachable", "refused_token"].includes(error.code), error.message);
      assert(error.message.includes(`:${address.port}`));
    }
  }
});

Deno.test("Session without an identity does not leave loopback", async () => {
  await using session = openSession({ host: "192.0.2.1", port: 9470 });
  const error = await failureOf(session.ready());
  assertEquals(error.code, "refused_token");
  assert(error.message.includes("mdi token new"));
});

Deno.test("Session.onDown tells that the peer closed", async () => {
  const downs: MdiError[] = [];
  const test = await serveTest({ identity });
  await using session = sessionTo(test.server, { identity, onDown: (error) => downs.push(error) });
  await hello(session);
  await test.server.close();
  await until(() => downs.length > 0, 500);
  assertEquals(downs.map((error) => error.code), ["peer_lost"]);
  assertEquals(session.error, downs[0]);
  assertEquals(await failureOf(hello(session)), downs[0]);
});

Deno.test("Session.onDown tells of a killed peer within 250 ms", async () => {
  const script = new URL("./_test_server.ts", import.meta.url);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", script.pathname],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const port = Number((await reader.read()).value);
  const down = Promise.withResolvers<MdiError>();
  await using session = openSession({ host: LOCAL, port }, { identity, onDown: down.resolve });
  const call = controlOf(session).fetch({ offset: 1000n })[Symbol.asyncIterator]();
  await call.next();
  const start = performance.now();
  child.kill("SIGKILL");
  assertEquals((await down.promise).code, "peer_lost");
  assert(performance.now() - start < 250);
  await assertRejects(async () => {
    while (!(await call.next()).done);
  });
  await child.status;
  await reader.cancel();
});

Deno.test("Session.onDown tells of a silent peer by ping, and the server notices too", async () => {
  for (const key of [undefined, identity]) {
    const pings = { pingIntervalMs: 50, pingTimeoutMs: 150 };
    await using test = await serveTest({ identity: key, ...pings });
    await using relay = await relayTo(test.server.address);
    const down = Promise.withResolvers<MdiError>();
    await using session = openSession(relay.address, {
      identity: key,
      onDown: down.resolve,
      ...pings,
    });
    await hello(session);
    await until(() => session.rttMs > 0);
    relay.silence();
    const start = performance.now();
    const error = await down.promise;
    assertEquals(error.code, "peer_lost");
    assert(error.message.includes("no answer to a ping in 150 ms"));
    assert(performance.now() - start < 600);
    await until(() => test.server.connections === 0, 600);
  }
});

Deno.test("Session does not blame the peer when its own thread was busy", async () => {
  const pings = { pingIntervalMs: 20, pingTimeoutMs: 60 };
  await using test = await serveTest(pings);
  await using session = sessionTo(test.server, pings);
  await session.ready();
  // Due right after the first ping is sent, so that its answer comes in while the thread is busy.
  await pause(pings.pingIntervalMs);
  const end = performance.now() + 250;
  while (performance.now() < end);
  assertEquals(await hello(session), "nobody");
  assertEquals(session.error, undefined);
});

Deno.test("Session.close() lets calls end, and ends them after the grace", async () => {
  let downs = 0;
  await using test = await serveTest();
  const session = sessionTo(test.server, { onDown: () => downs++ });
  await session.ready();
  const call = hello(session);
  await pause(0);
  const [serving] = await Promise.all([call, session.close()]);
  assertEquals(serving, "nobody");
  assertEquals((await failureOf(hello(session))).code, "cancelled");

  const other = sessionTo(test.server, { onDown: () => downs++ });
  const fetch = controlOf(other).fetch({ offset: 1000n })[Symbol.asyncIterator]();
  await fetch.next();
  const start = performance.now();
  await other.close({ graceMs: 100 });
  assert(performance.now() - start < 500);
  await until(() => test.seen.fetchesEnded === 1);
  assert(test.seen.fetchedMessages < 100, "back-pressure holds the handler");
  assertEquals(downs, 0);
  await until(() => test.server.connections === 0);
});

Deno.test("Session ends with its signal, also while it connects", async () => {
  await using tarpit = await tcpServer(() => {});
  const controller = new AbortController();
  await using session = openSession(tarpit.address, { signal: controller.signal });
  const ready = failureOf(session.ready());
  await pause(30);
  controller.abort();
  assertEquals((await ready).code, "cancelled");
  await using late = openSession(tarpit.address, { signal: controller.signal });
  assertEquals((await failureOf(late.ready())).code, "cancelled");
});

Deno.test("Session can be closed and disposed of in any order and number", async () => {
  await using test = await serveTest();
  const session = sessionTo(test.server);
  session[Symbol.dispose]();
  await session.close();
  const other = sessionTo(test.server);
  await other.ready();
  await Promise.all([other.close(), other.close()]);
  other.abort();
  await other[Symbol.asyncDispose]();
  assertThrows(() => openSession({ host: "a b", port: 1 }), TypeError);
});

Deno.test("Session fails every call in flight with the reason of its end", async () => {
  await using tarpit = await serveTest({
    routes: (router) =>
      router
        .rpc(Control.method.hello, () => new Promise<never>(() => {}))
        .rpc(Ring.method.link, async function* () {
          yield { credits: 1 };
          await new Promise<never>(() => {});
        }),
  });
  for (const close of ["abort", "dispose", "signal", "server"]) {
    const controller = new AbortController();
    await using session = sessionTo(tarpit.server, { signal: controller.signal });
    const waiting = failureOf(hello(session));
    const link = createClient(Ring, session.transport).link(endless());
    const links = link[Symbol.asyncIterator]();
    await links.next();
    const more = failureOf(links.next());
    const late = failureOf(hello(session));
    if (close === "abort") session.abort();
    if (close === "dispose") session[Symbol.dispose]();
    if (close === "signal") controller.abort();
    if (close === "server") await tarpit.server.close();
    for (const failure of [waiting, more, late]) {
      // Where the peer closes, a stream may hear of it before the session.
      if (close === "server") assertEquals((await failure).code, "peer_lost");
      else assertEquals(await failure, session.error);
    }
  }
});

Deno.test("Session's end also ends the handlers of its streams", async () => {
  for (const close of ["client", "server"]) {
    await using test = await serveTest();
    await using session = sessionTo(test.server);
    const link = createClient(Ring, session.transport).link(endless());
    await link[Symbol.asyncIterator]().next();
    if (close === "client") session.abort();
    else await test.server.close();
    await until(() => test.seen.linksEnded === 1, 500);
  }
});

/** A request stream that sends nothing and does not end. */
function endless(): AsyncIterable<never> & AsyncIterator<never> {
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next: () => new Promise<never>(() => {}),
    throw: () => Promise.resolve({ done: true, value: undefined }),
  };
}

Deno.test("Session carries a two-way stream under TLS in well under a millisecond", async () => {
  await using test = await serveTest({ identity });
  await using session = sessionTo(test.server, { identity });
  const rows = new Uint8Array(4096);
  let next = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  async function* messages() {
    for (let i = 0; i < 500; i++) {
      yield { message: { case: "frame" as const, value: { hidden: rows } } };
      await Promise.race([next.promise, ended.promise]);
      next = Promise.withResolvers<void>();
    }
  }
  let granted = 0;
  const start = performance.now();
  for await (const { credits } of createClient(Ring, session.transport).link(messages())) {
    granted += credits;
    if (granted > 1) next.resolve();
  }
  ended.resolve();
  assertEquals(granted, 501);
  // With Nagle's algorithm on, a round trip waits 40 ms for an acknowledgement.
  assert((performance.now() - start) / 500 < 10);
});

/** The tests' own network is as slow as it is told to be. */
import { assert, assertEquals } from "@std/assert";
import { type ProxiedLink, TcpProxy, Wire } from "./support/tcp_proxy.ts";

const LINK: ProxiedLink = { rttMs: 0, mbit: Infinity };

/** Sends what it is sent. */
function echo(): AsyncDisposable & { address: string } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const work = (async () => {
    for await (const connection of listener) {
      await connection.readable.pipeTo(connection.writable).catch(() => {});
    }
  })();
  return {
    address: `127.0.0.1:${listener.addr.port}`,
    async [Symbol.asyncDispose]() {
      listener.close();
      await work;
    },
  };
}

function connect(address: string): Promise<Deno.TcpConn> {
  const [hostname, port] = address.split(":") as [string, string];
  return Deno.connect({ hostname, port: Number(port) });
}

async function readAll(connection: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const count = await connection.read(bytes.subarray(at));
    if (count === null) throw new Error(`${at} bytes came`);
    at += count;
  }
}

Deno.test("Wire takes half a round trip and the bytes' time, and keeps the order", () => {
  const wire = new Wire({ rttMs: 10, mbit: 8 }, () => 0.5);
  assertEquals(wire.take(1000, 100), 106);
  assertEquals(wire.take(1000, 100), 107, "the second waits for the first");
  assertEquals(wire.take(500, 200), 205.5);
});

Deno.test("Wire stalls what is lost and what follows", () => {
  const drawn = [0.5, 0.005, 0.5];
  const wire = new Wire({ ...LINK, loss: 0.01, stallMs: 200 }, () => drawn.shift()!);
  assertEquals([wire.take(100, 0), wire.take(100, 1), wire.take(100, 2)], [0, 201, 201]);
});

Deno.test("TcpProxy passes bytes on in order, late, both ways", async () => {
  await using far = echo();
  await using proxy = TcpProxy.listen(far.address, { rttMs: 40, mbit: Infinity });
  using connection = await connect(proxy.address);
  const sent = crypto.getRandomValues(new Uint8Array(1000));
  const got = new Uint8Array(sent.length);
  const start = performance.now();
  await connection.write(sent);
  await readAll(connection, got);
  const ms = performance.now() - start;
  assertEquals(got, sent);
  assert(ms >= 40, `${ms} ms`);
});

Deno.test("TcpProxy makes a sender wait that is faster than the link", async () => {
  await using far = echo();
  await using proxy = TcpProxy.listen(far.address, { rttMs: 0, mbit: 80 });
  using connection = await connect(proxy.address);
  const sent = new Uint8Array(2 ** 21);
  const start = performance.now();
  const reading = readAll(connection, new Uint8Array(sent.length));
  for (let at = 0; at < sent.length;) at += await connection.write(sent.subarray(at));
  await reading;
  // 10,000 bytes a millisecond.
  assert(performance.now() - start >= sent.length / 10_000);
});

Deno.test("TcpProxy ends a connection with its other end", async () => {
  const far = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  await using proxy = TcpProxy.listen(`127.0.0.1:${far.addr.port}`, LINK);
  using connection = await connect(proxy.address);
  const accepted = await far.accept();
  accepted.close();
  far.close();
  assertEquals(await connection.read(new Uint8Array(1)), null);
});

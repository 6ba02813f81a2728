import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MdiError } from "../wasm/error.ts";
import {
  type Address,
  formatAddress,
  isLoopback,
  parseAddress,
  parseListen,
  parsePeers,
  requireDistinct,
  resolveHost,
  socketAddress,
} from "./address.ts";

Deno.test("parseAddress() reads names, IPv4 and IPv6 with and without a port", () => {
  const cases: [string, string, number][] = [
    ["pi", "pi", 9470],
    ["Pi-4.Local:80", "pi-4.local", 80],
    ["a_b.", "a_b", 9470],
    ["10.0.0.2", "10.0.0.2", 9470],
    ["10.0.0.2:65535", "10.0.0.2", 65535],
    ["[::1]", "::1", 9470],
    ["[2001:DB8:0::1]:1", "2001:db8::1", 1],
  ];
  for (const [text, host, port] of cases) assertEquals(parseAddress(text), { host, port });
});

Deno.test("parseAddress() refuses what is no address and names it", () => {
  const cases: [string, string][] = [
    ["", "it is empty"],
    [":80", "its host is empty"],
    [" pi", "a space"],
    ["pi :80", "a space"],
    ["http://pi", "URL"],
    ["pi/x", "URL"],
    ["user@pi", "URL"],
    ["::1", "brackets"],
    ["a:b:c", "no address"],
    ["[::1", "no address"],
    ["[pi]", "no IPv6"],
    ["[fe80::1%eth0]", "zones"],
    ["256.1.1.1", "no IPv4"],
    ["1.2.3", "no IPv4"],
    ["0x7f000001", "no IPv4"],
    ["2130706433", "no IPv4"],
    ["-pi", "no name"],
    ["pi..local", "no name"],
    ["küche", "no name"],
    ["a".repeat(64), "no name"],
    ["0.0.0.0", "every address"],
    ["[::0]:80", "every address"],
  ];
  for (const [text, why] of cases) {
    assert(assertThrows(() => parseAddress(text), TypeError, why).message.includes(`"${text}"`));
  }
});

Deno.test("parseAddress() refuses a port out of range", () => {
  for (const port of ["", "0", "65536", "-1", "1e3", "x", "999999", "+1"]) {
    assertThrows(() => parseAddress(`pi:${port}`), RangeError, `port "${port}"`);
  }
});

Deno.test("parseAddress() reads what formatAddress() wrote", () => {
  const host = fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6());
  fc.assert(fc.property(host, fc.integer({ min: 1, max: 65535 }), (host, port) => {
    let address: Address;
    try {
      address = parseAddress(host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`);
    } catch (error) {
      return assert(error instanceof TypeError);
    }
    assertEquals(parseAddress(formatAddress(address)), address);
  }));
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    try {
      const address = parseAddress(text);
      assertEquals(parseAddress(formatAddress(address)), address);
    } catch (error) {
      assert(error instanceof TypeError || error instanceof RangeError);
    }
  }));
});

Deno.test("parseListen() also takes port 0 and every address", () => {
  assertEquals(parseListen("127.0.0.1:0"), { host: "127.0.0.1", port: 0 });
  assertEquals(parseListen("0.0.0.0"), { host: "0.0.0.0", port: 9470 });
  assertEquals(parseListen("[::]:1"), { host: "::", port: 1 });
  assertThrows(() => parseListen("pi:65536"), RangeError);
});

Deno.test("parsePeers() reads a list and refuses one that is there twice", () => {
  assertEquals(parsePeers("a, b:9471"), [{ host: "a", port: 9470 }, { host: "b", port: 9471 }]);
  assertThrows(() => parsePeers("a,b,A:9470"), TypeError, "a:9470 twice");
  assertThrows(() => parsePeers("a,,b"), TypeError, "empty");
  assertThrows(() => parsePeers(""), TypeError, "empty");
});

Deno.test("requireDistinct() refuses this node itself", () => {
  const local: Address = { host: "127.0.0.1", port: 9470 };
  const everywhere: Address = { host: "0.0.0.0", port: 9470 };
  const name: Address = { host: "localhost", port: 9470 };
  assertThrows(() => requireDistinct([local], local), TypeError, "itself");
  assertThrows(() => requireDistinct([name], everywhere), TypeError, "itself");
  requireDistinct([{ ...local, port: 9471 }, { host: "10.0.0.2", port: 9470 }], everywhere);
});

Deno.test("isLoopback() knows the addresses that are this device", () => {
  for (
    const host of ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST", "::ffff:127.0.0.1"]
  ) {
    assert(isLoopback(host), host);
  }
  for (
    const host of [
      "0.0.0.0",
      "::",
      "128.0.0.1",
      "127.evil.com",
      "localhost.evil.com",
      "::2",
      "fe80::1%eth0",
      "::ffff:10.0.0.1",
    ]
  ) {
    assert(!isLoopback(host), host);
  }
});

Deno.test("socketAddress() turns a mapped address back", () => {
  assertEquals(socketAddress("::ffff:10.0.0.1", 1), { host: "10.0.0.1", port: 1 });
  assertEquals(socketAddress("::1", 1), { host: "::1", port: 1 });
});

Deno.test("resolveHost() gives an IP address or says that the name does not resolve", async () => {
  assertEquals(await resolveHost("10.0.0.2"), "10.0.0.2");
  assertEquals(await resolveHost("::1"), "::1");
  assert(isLoopback(await resolveHost("localhost")));
  const error = await assertRejects(() => resolveHost("no-such-host.invalid"), MdiError);
  assertEquals(error.code, "peer_unreachable");
  assert(error.message.includes('"no-such-host.invalid": the name does not resolve'));
});

Deno.test("resolveHost() stops at the signal", async () => {
  const options = { signal: AbortSignal.abort() };
  const error = await assertRejects(() => resolveHost("localhost", options), MdiError);
  assertEquals(error.code, "cancelled");
});

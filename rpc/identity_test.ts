import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { X509Certificate } from "node:crypto";
import fc from "fast-check";
import { deriveIdentity, nodeName } from "./identity.ts";
import { formatToken } from "./token.ts";

const TOKEN = Uint8Array.from({ length: 16 }, (_, i) => i + 1);

Deno.test("deriveIdentity() gives members one authority and each its own certificate", async () => {
  const a = await deriveIdentity(TOKEN, "a");
  const b = await deriveIdentity(TOKEN, "b");
  assertEquals(a.ca, b.ca);
  assertEquals(a.fingerprint, b.fingerprint);
  assertNotEquals(a.key, b.key);
  const ca = new X509Certificate(a.ca);
  for (const member of [a, b]) {
    const certificate = new X509Certificate(member.cert);
    assert(certificate.verify(ca.publicKey));
    assertEquals(certificate.subject, `CN=${member.name}`);
  }
});

Deno.test("deriveIdentity() gives another authority for a token of one bit's difference", async () => {
  const other = TOKEN.slice();
  other[15]! ^= 1;
  const a = await deriveIdentity(TOKEN, "a");
  const b = await deriveIdentity(other, "a");
  assertNotEquals(a.fingerprint, b.fingerprint);
  const certificate = new X509Certificate(b.cert);
  assert(!certificate.verify(new X509Certificate(a.ca).publicKey));
});

Deno.test("deriveIdentity() is the same in every release", async () => {
  // A change here parts new nodes from old ones: raise the wire version with it.
  assertEquals((await deriveIdentity(TOKEN, "a")).fingerprint, "56aa7d65a82b2775");
});

Deno.test("deriveIdentity() makes certificates that hold for any clock", async () => {
  const { ca, cert } = await deriveIdentity(TOKEN, "a");
  for (const text of [ca, cert]) {
    const certificate = new X509Certificate(text);
    assertEquals(Date.parse(certificate.validFrom), 0);
    assertEquals(new Date(certificate.validTo).getUTCFullYear(), 9999);
  }
});

Deno.test("deriveIdentity() does not show the token", async () => {
  const identity = await deriveIdentity(TOKEN, "a");
  const digits = formatToken(TOKEN).slice(5, 14);
  assert(!JSON.stringify(identity).includes(digits));
  const shown = identity.ca + identity.cert;
  assert(!shown.includes(identity.key.split("\n")[1]!));
});

Deno.test("nodeName() keeps plain names and makes the rest plain", () => {
  assertEquals(nodeName("pi-4.local"), "pi-4.local");
  assertEquals(nodeName("Küche, CN=root\n"), "K-che-CN-root");
  assertEquals(nodeName("  "), "node");
  assertEquals(nodeName(""), "node");
  assertEquals(nodeName("x".repeat(300)).length, 64);
  fc.assert(fc.property(fc.string({ unit: "binary" }), (name) => {
    assertMatch(nodeName(name), /^[A-Za-z0-9._][A-Za-z0-9._-]{0,63}$/);
    assertEquals(nodeName(nodeName(name)), nodeName(name));
  }));
});

import { assertEquals, assertMatch } from "@std/assert";
import type { ProbedPeer } from "../../rpc/probe_peer.ts";
import { VERSION } from "../../rpc/version.ts";
import { MdiError } from "../../wasm/error.ts";
import type { Finding } from "./finding.ts";
import { checkClock, checkPeers, checkToken, checkUnaskedPeers } from "./peer_checks.ts";

const PI_A = { host: "pi-a", port: 9470 };
const PI_B = { host: "pi-b", port: 9470 };

function peer(facts: Partial<ProbedPeer> = {}): ProbedPeer {
  return {
    version: VERSION,
    instance: crypto.randomUUID(),
    serving: null,
    rttMs: 0.8,
    skew: { ms: 3, errorMs: 1 },
    memoryFreeBytes: 3e9,
    diskFreeBytes: 20e9,
    ...facts,
  };
}

function check(facts: Partial<ProbedPeer>): Finding[] {
  return checkPeers([{ address: PI_A, answer: { status: "fulfilled", value: peer(facts) } }]);
}

Deno.test("checkPeers() finds a peer well that answers soon, even a busy one", () => {
  assertEquals(check({}).map(({ name, status }) => [name, status]), [
    ["peer pi-a:9470", "good"],
    ["clock of pi-a:9470", "good"],
  ]);
  const [busy] = check({ serving: "pi-c" });
  assertEquals(busy!.status, "good");
  assertMatch(busy!.message, /serves the ring of "pi-c"/);
});

Deno.test("checkPeers() warns of slow links, other releases and clocks", () => {
  const statuses = (facts: Partial<ProbedPeer>) => check(facts).map(({ status }) => status);
  assertEquals(statuses({ rttMs: 95 }), ["warning", "good"]);
  assertEquals(statuses({ version: "0.0.9" }), ["warning", "good"]);
  assertEquals(statuses({ skew: { ms: -86_400_000, errorMs: 1 } }), ["good", "warning"]);
  assertEquals(statuses({ skew: null }), ["good", "unknown"]);
  assertMatch(
    check({ skew: { ms: -5000, errorMs: 0.4 } })[1]!.message,
    /^5000 ms behind, give or take 1 ms/,
  );
});

Deno.test("checkPeers() says why a peer cannot be used", () => {
  const reason = new MdiError("refused_token", "Cannot join pi-a:9470: why; give both the same");
  const value = peer();
  const findings = checkPeers([
    { address: PI_A, answer: { status: "rejected", reason } },
    { address: PI_A, answer: { status: "fulfilled", value } },
    { address: PI_B, answer: { status: "fulfilled", value } },
  ]);
  assertEquals(findings.map(({ code }) => code), ["refused_token", null, null, "usage"]);
  assertEquals(findings[0]!.action, "give both the same");
  assertMatch(findings[3]!.message, /the same node as pi-a:9470/);
});

Deno.test("checkUnaskedPeers() says that the Deno is the cause, and which one to use", () => {
  const findings = checkUnaskedPeers([PI_A, PI_B]);
  assertEquals(findings.map(({ name }) => name), ["peer pi-a:9470", "peer pi-b:9470"]);
  assertMatch(
    findings[0]!.message,
    /^not asked: Deno \S+, which runs this mdi, cannot use a token/,
  );
  assertMatch(findings[0]!.action!, /Deno 2\.9 or newer/);
});

Deno.test("checkToken() and checkClock() see what other devices would", () => {
  assertEquals(checkToken("$MDI_TOKEN", [PI_A]).status, "good");
  assertEquals(checkToken(null, [PI_A]).status, "warning");
  assertEquals(checkToken(null, [{ host: "127.0.0.1", port: 1 }]).status, "good");
  assertEquals(checkClock(new Date("1970-01-01T00:10:00Z")).status, "warning");
  assertEquals(checkClock(new Date()).status, "good");
});

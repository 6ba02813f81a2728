import { assertEquals, assertMatch } from "@std/assert";
import type { Comparison, Difference } from "./compare.ts";
import { adviceText, resultText, verdictText, type VerifiedRing } from "./text.ts";

const ALL: Comparison = { tokens: 144, equal: 144, differences: [], unclear: [] };
const DIFFERENCE: Difference = {
  ...{ prompt: "chat", of: "answer", token: 17, expected: 504, got: 3821, margin: 1.234 },
};
const WRONG: Comparison = { tokens: 144, equal: 112, differences: [DIFFERENCE], unclear: [] };

function ring(comparison: Comparison, peers: string[] = [], backend = "simd"): VerifiedRing {
  const nodes = ["pi", ...peers].map((name) => ({ name, backend, backendReason: null }));
  return { nodes, peers, layers: 30, comparison, deviations: [] };
}

Deno.test("resultText() says plainly what is equal, on which nodes", () => {
  assertEquals(resultText(ring(ALL)), "all 144 tokens equal on pi alone");
  assertEquals(
    resultText(ring(ALL, ["pi-a", "pi-b"])),
    "all 144 tokens equal on 3 nodes (pi, pi-a, pi-b)",
  );
});

Deno.test("resultText() says where tokens differ", () => {
  assertEquals(
    resultText(ring(WRONG, ["pi-a"])),
    "112 of 144 tokens equal on 2 nodes (pi, pi-a)\n" +
      'DIFFERENT: answer to "chat": token 17 is 3821 instead of 504 (margin 1.23)',
  );
});

Deno.test("resultText() promises nothing of ort", () => {
  const unclear = { ...ALL, equal: 112, unclear: [{ ...DIFFERENCE, margin: 0.07 }] };
  const text = resultText(ring(unclear, [], "ort"));
  assertMatch(text, /pi computes on ort, which rounds differently: equal tokens are not promised/);
  assertMatch(text, /margin 0\.07\), too small a margin to tell/);
});

Deno.test("adviceText() says how to find the node that is wrong", () => {
  const text = adviceText(ring(WRONG, ["pi-a", "pi-b:9471"]));
  assertMatch(text, /mdi verify --peers pi-a --layers 0,30; mdi verify --peers pi-b:9471/);
  assertMatch(adviceText(ring(WRONG)), /^on this device: "mdi store verify"/);
  const encoded = { ...WRONG, differences: [{ ...DIFFERENCE, of: "prompt" as const }] };
  assertMatch(adviceText(ring(encoded)), /tokenizer/);
});

Deno.test("verdictText() sums up", () => {
  assertEquals(
    verdictText([ring(ALL)], "x.gguf"),
    "verified: every token of x.gguf is the golden one",
  );
  assertMatch(verdictText([ring(ALL, [], "ort")], "x"), /as far as ort allows/);
  assertEquals(
    verdictText([ring(ALL), ring(WRONG, ["a"])], "x"),
    "not verified: 1 ring of 2 gave other tokens",
  );
});

import { assertEquals } from "@std/assert";
import { type ComputingNode, deviations } from "./deviations.ts";

function node(name: string, changes: Partial<ComputingNode> = {}): ComputingNode {
  return { name, backend: "simd", backendReason: null, release: "1.0.0", ...changes };
}

Deno.test("deviations() has nothing to say of nodes that compute alike, nor of one alone", () => {
  assertEquals(deviations([node("a"), node("b"), node("c")], "f32"), []);
  const ort = { backend: "ort" };
  assertEquals(deviations([node("a", ort), node("b", { ...ort, backendReason: "x" })], "f32"), []);
  assertEquals(deviations([node("a")], "f16"), [], "nothing is sent");
});

Deno.test("deviations() names the backends of a mixed ring, why they are, and what to do", () => {
  const told = node("b", { backend: "ort" });
  const fallback = node("c", { backend: "ort", backendReason: "layer.3 has no norm" });
  assertEquals(deviations([node("a"), told], "f32"), [
    "tokens may differ from those of one node: simd computes on a and ort on b (started with --backend ort), which round differently; start b with --backend auto for the same tokens",
  ]);
  assertEquals(deviations([node("a"), told, fallback, node("d")], "f32"), [
    "tokens may differ from those of one node: simd computes on a and d and ort on b (started with --backend ort) and c (layer.3 has no norm), which round differently; start every node with --backend ort for the same tokens",
  ]);
});

Deno.test("deviations() has a line for each cause", () => {
  const nodes = [node("a"), node("b", { backend: "ort", release: "1.1.0" })];
  assertEquals(
    deviations(nodes, "f16").map((line) => line.split("; ")[1]),
    [
      "start b with --backend auto for the same tokens",
      "leave it out for the same tokens",
      "run the same release on every node for the same tokens",
    ],
  );
  assertEquals(
    deviations(nodes, "f32")[1]!.split("; ")[0],
    "tokens may differ from those of one node: mdi 1.0.0 on a and mdi 1.1.0 on b may round differently",
  );
});

import { assertEquals } from "@std/assert";
import { calibrationText } from "./summary.ts";

const node = (name: string, predictedMsPerToken: number | null, computeMsPerToken: number) => ({
  name,
  predictedMsPerToken,
  computeMsPerToken,
});

Deno.test("calibrationText() says what was predicted and which node differs most", () => {
  const nodes = [node("a", 5, 5.1), node("b", 4, 4.8)];
  assertEquals(
    calibrationText({ predictedTokensPerSecond: 187, tokensPerSecond: 179, nodes }),
    "predicted 187.0 tokens/s, measured 179.0 (-4 %); b: predicted 4.0 ms/token, measured 4.8 (+20 %)",
  );
});

Deno.test("calibrationText() is empty without a plan, and takes nodes without layers", () => {
  const nodes = [node("a", null, 1)];
  const run = { tokensPerSecond: 1, nodes };
  assertEquals(calibrationText({ ...run, predictedTokensPerSecond: null }), "");
  assertEquals(
    calibrationText({ predictedTokensPerSecond: 2, tokensPerSecond: 2, nodes: [node("a", 0, 0)] }),
    "predicted 2.0 tokens/s, measured 2.0 (0 %)",
  );
});

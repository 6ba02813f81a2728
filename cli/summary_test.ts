import { assert, assertEquals } from "@std/assert";
import type { NodeSummary, Summary } from "../rpc/summary.ts";
import { calibrationClauses, summaryText } from "./summary.ts";
import { widthOf } from "./table.ts";

const node = (name: string, predictedMsPerToken: number | null, computeMsPerToken: number) => ({
  name,
  predictedMsPerToken,
  computeMsPerToken,
});

Deno.test("calibrationClauses() says what was predicted and which node differs most", () => {
  const nodes = [node("a", 5, 5.1), node("b", 4, 4.8)];
  assertEquals(
    calibrationClauses({ predictedTokensPerSecond: 187, tokensPerSecond: 179, nodes }),
    [
      "predicted 187.0 tokens/s for these samples and lengths, measured 179.0 (-4 %)",
      "b: predicted 4.0 ms/token, measured 4.8 (+20 %)",
    ],
  );
});

Deno.test("calibrationClauses() is empty without a plan, and takes nodes without layers", () => {
  const nodes = [node("a", null, 1)];
  const run = { tokensPerSecond: 1, nodes };
  assertEquals(calibrationClauses({ ...run, predictedTokensPerSecond: null }), []);
  assertEquals(
    calibrationClauses({
      predictedTokensPerSecond: 2,
      tokensPerSecond: 2,
      nodes: [node("a", 0, 0)],
    }),
    ["predicted 2.0 tokens/s for these samples and lengths, measured 2.0 (0 %)"],
  );
});

/** A run of three nodes with the figures of a small model. */
function run(backends: readonly string[]): Summary {
  const nodes = backends.map((backend, i): NodeSummary => ({
    name: `raspberrypi-${i}:9470`,
    role: i === 0 ? "starter" : "secondary",
    layers: [10 * i, 10 * i + 9],
    backend,
    backendReason: null,
    threads: 4,
    paced: false,
    busyFraction: 0.91,
    computeMsPerToken: 6.4,
    predictedMsPerToken: 6.2,
    codecMsPerToken: 0.1,
    samplingMsPerToken: 0.1,
    roundTripMs: 0.2,
    bytesSentPerToken: 1344,
    weightBytes: 41_300_000,
    kv: "f32",
    kvBytes: 2_900_000,
    rssBytes: 203_400_000,
    weightBytesReceived: 35_100_000,
  }));
  return {
    model: "smollm2-135m-instruct",
    samples: 4,
    tokens: 1024,
    seconds: 7.4,
    tokensPerSecond: 138.2,
    predictedTokensPerSecond: 140.9,
    promptTokensPerSecond: 410.3,
    timeToFirstTokenMs: 312,
    seed: 12_345_678_901_234_567_890n,
    nodes,
    deviations: [],
  };
}

Deno.test("summaryText() leaves out of a narrow terminal what matters least", () => {
  const summary = run(["simd", "simd", "simd"]);
  const whole = summaryText(summary);
  assert(widthOf(whole) > 100 && whole.includes("received"), whole);
  assertEquals(summaryText(summary, widthOf(whole)), whole);
  for (const columns of [40, 72, 80, 100]) {
    const text = summaryText(summary, columns);
    const [, figures, table, calibration] = text.split(/\n{1,2}(?=smol|node|predicted)/);
    assert(widthOf(table!) <= columns || columns === 40, text);
    assert(/ms\/token/.test(table!) && /busy/.test(table!), text);
    assert(columns < 80 || Math.max(widthOf(figures!), widthOf(calibration!)) <= columns, text);
  }
  const text = summaryText(summary, 80);
  assert(
    text.includes("\nbackend simd; not shown in so few columns: sent/token, received\n"),
    text,
  );
  assert(summaryText(run(["simd", "ort"]), 80).includes("ort  "), "backends that differ are shown");
});

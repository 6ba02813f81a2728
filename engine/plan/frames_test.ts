import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { testRing, testRings } from "./_problems.ts";
import { chooseFrames } from "./frames.ts";
import { simulate } from "./simulate.ts";

Deno.test("chooseFrames() chooses as well as simulating every number of frames", () => {
  fc.assert(
    fc.property(testRings, (ring) => {
      const { problem, plan } = testRing(ring);
      const samples = Math.min(ring.samples, 12);
      const few = { ...problem, samples };
      const speed = (decodeFrames: number) => {
        const work = { samples, promptTokens: 4, tokens: 200, record: false, credits: 64 };
        return simulate(few, { ...plan, decodeFrames }, work).totals.steady!.tokensPerSecond;
      };
      const best = Math.max(...Array.from({ length: samples }, (_, i) => speed(i + 1)));
      const chosen = speed(chooseFrames(few, plan.order, plan.counts).decodeFrames);
      assert(chosen >= 0.99 * best, `${chosen} of ${best} tokens/s`);
    }),
    { numRuns: 60, seed: 4 },
  );
});

Deno.test("chooseFrames() takes a frame a sample where batches gain nothing", () => {
  const { problem, plan } = testRing({
    nodes: [{ layers: 2, layerMs: 2 }, { layers: 2, layerMs: 2 }],
    samples: 9,
    rttMs: 20,
  });
  const { decodeFrames, rowsPerFrame } = chooseFrames(problem, plan.order, plan.counts);
  assertEquals([decodeFrames, rowsPerFrame], [9, 1]);
});

Deno.test("chooseFrames() takes more frames the slower the links are", () => {
  const frames = [0, 20, 60, 200].map((rttMs) => {
    const { problem, plan } = testRing({
      nodes: [{ layers: 2, layerMs: 5 }, { layers: 2, layerMs: 5 }],
      samples: 16,
      rowShare: 0.2,
      rttMs,
    });
    return chooseFrames(problem, plan.order, plan.counts).decodeFrames;
  });
  assertEquals(frames[0], 2);
  frames.slice(1).forEach((count, i) => assert(count >= frames[i]!, frames.join(" ")));
  assert(frames.at(-1)! > 3, frames.join(" "));
});

/** Rings over links with delay, little bandwidth and stalls: real processes beside the simulator. */
import { assert } from "@std/assert";
import { layeredModel } from "./support/layered_model.ts";
import { type LinkedRing, measureCurve } from "./support/link_curve.ts";

/** Most that simulation and ring may differ, as a share of the ring's figure. */
const TOLERANCE = 0.15;
const NODES = 2;
const STAGE_MS = 50;
/** Other programs on this machine may delay a run. */
const RUNS = 3;

Deno.test("A ring over slow links gives what the simulator says, with few samples and with many", async (t) => {
  await using model = await layeredModel(NODES);
  const links = [{ rttMs: 20, mbit: 100 }, { rttMs: 1, mbit: 20 }];
  for (const link of links) {
    await t.step(`${link.rttMs} ms round trip, ${link.mbit} Mbit/s`, async () => {
      const ring: LinkedRing = { nodes: NODES, stageMs: STAGE_MS, link, model: model.path };
      const found: string[] = [];
      for (let run = 0; run < RUNS; run++) {
        const points = await measureCurve(ring, [1, 4], (samples) => samples === 1 ? 14 : 12);
        const worst = Math.max(
          ...points.map(({ measured, simulated }) => Math.abs(simulated / measured - 1)),
        );
        found.push(JSON.stringify(points));
        if (worst <= TOLERANCE) return;
      }
      assert(false, found.join("\n"));
    });
  }
});

/** Problems for property tests: small numbers, so that ties, full memories and slow links are frequent. */
import fc from "fast-check";
import type { RowTimes } from "../../wasm/row_times.ts";
import type { PlanLink, PlanProblem } from "./problem.ts";

const number = (min: number, max: number) => fc.integer({ min, max });

/** One point, or a few of which a frame of more rows gains. */
function rowTimes(min: number, max: number): fc.Arbitrary<RowTimes> {
  const single = number(min, max).map((ms) => ({ rows: [1], ms: [ms] }));
  const several = fc.tuple(number(min, max), number(0, 4), number(0, 4)).map(
    ([ms, second, fourth]) => ({
      rows: [1, 2, 4],
      ms: [ms, ms + second * ms / 4, ms + (second + fourth) * ms / 4],
    }),
  );
  return fc.oneof(single, several);
}

const link: fc.Arbitrary<PlanLink> = fc.record({
  rttMs: fc.constantFrom(0, 0.4, 2, 20),
  mbit: fc.constantFrom(1, 20, 940, Infinity),
});

/** Problems with up to so many nodes and layers, some of which nothing can hold. */
export function randomProblem(maxNodes: number, maxLayers: number): fc.Arbitrary<PlanProblem> {
  const device = fc.record({
    layer: rowTimes(1, 8),
    embed: rowTimes(0, 2),
    head: rowTimes(0, 12),
    frameMs: fc.constantFrom(0, 0, 1, 5),
    memoryBytes: fc.constantFrom(0, 200, 500, 1000, 3000, 1e6),
  });
  return fc.record({
    devices: fc.array(device, { minLength: 1, maxLength: maxNodes }),
    links: fc.array(link, { minLength: 1, maxLength: maxNodes ** 2 }),
    model: fc.record({
      layers: number(1, maxLayers),
      layerBytes: number(20, 100),
      kvBytesPerTokenLayer: number(0, 2),
      embedBytes: number(0, 100),
      headBytes: number(0, 100),
      rowBytes: number(0, 3000),
    }),
    samples: number(1, 9),
    context: number(1, 20),
    goal: fc.constantFrom("throughput" as const, "throughput" as const, "latency" as const),
  }).map(({ devices, links, ...rest }) => ({
    ...rest,
    nodes: devices.map((device, i) => ({ name: `n${i}`, ...device })),
    link: (from, to) => links[(from * devices.length + to) % links.length]!,
  }));
}

/** Devices that rings of tests stand for, and what the planner is told of them. */
import type { PlanLink, PlanProblem } from "../../engine/plan/problem.ts";
import { type Pace, readPace } from "../../wasm/pace.ts";

/** Bytes of the hidden state of one row of {@linkcode layeredModel}, with its header. */
const ROW_BYTES = 4 * 256 + 64;
/** Beside the stages of tests this machine's own links take nothing. */
const LOCAL: PlanLink = { rttMs: 0.1, mbit: 10_000 };
const NOTHING = readPace({ layer: 0 }).layer;

/** A device whose rows gain nothing from others in the same frame; times are in ms. */
export function device(layer: number, embed = 0, head = 0): Pace {
  return readPace({ layer, embed, head });
}

/** A Raspberry Pi 5 with two Raspberry Pi 4 and a laptop: a layer takes 1, 2.6 and 0.5 times as long. */
export function homeDevices(): { pi5: Pace; pi4: Pace; laptop: Pace } {
  return { pi5: device(6, 0.3, 15), pi4: device(15.6, 0.8, 39), laptop: device(3, 0.2, 8) };
}

/** What is planned for such devices, the starter first, in a model whose memory is no matter. */
export function pacedProblem(
  paces: readonly Pace[],
  options: { layers: number; samples: number; link?: PlanLink },
): PlanProblem {
  const { layers, samples, link = LOCAL } = options;
  return {
    model: {
      layers,
      layerBytes: 1,
      kvBytesPerTokenLayer: 0,
      embedBytes: 1,
      headBytes: 1,
      rowBytes: ROW_BYTES,
    },
    nodes: paces.map(({ layer, embed = NOTHING, head = NOTHING }, i) => ({
      name: `node ${i}`,
      memoryBytes: 1e9,
      layer,
      embed,
      head,
    })),
    link: () => link,
    samples,
    context: 64,
    goal: "throughput",
  };
}

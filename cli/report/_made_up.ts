/** Runs and results for the report's tests: made up, the same every time. */
import type { Timeline, TimelineFrame, TimelineSpan } from "../../engine/plan/timeline.ts";

/** How {@linkcode madeUpTimeline} runs. */
export interface MadeUpRun {
  /** Name and ms a frame of each node. */
  nodes: readonly (readonly [name: string, ms: number])[];
  samples: number;
  tokens: number;
  /** Latency of each link in ms. */
  link?: number;
}

/** Samples that go round a ring, one row a frame, each node one frame after another. */
export function madeUpTimeline({ nodes, samples, tokens, link = 0.5 }: MadeUpRun): Timeline {
  const free = nodes.map(() => 0);
  const busy = nodes.map((): TimelineSpan[] => []);
  const links = nodes.map((_, from) => ({
    from,
    to: (from + 1) % nodes.length,
    frames: [] as TimelineFrame[],
  }));
  const drawn = Array.from({ length: samples }, (): number[] => []);
  const ready = drawn.map(() => 0);
  const work = (node: number, at: number, ms: number, what: TimelineSpan["what"]) => {
    const from = Math.max(at, free[node]!);
    busy[node]!.push({ from, to: from + ms, rows: 1, what });
    return free[node] = from + ms;
  };
  for (let token = 0; token < tokens; token++) {
    const back = ready.map((start, sample) => {
      let at = start;
      nodes.forEach(([, ms], node) => {
        at = work(node, at, ms, node === 0 ? "forward" : "layers");
        if (nodes.length === 1) return;
        links[node]!.frames.push({ sent: at, arrived: at + link, rows: 1, bytes: 2368 });
        at += link * (1 + sample % 2);
      });
      return at;
    });
    back.forEach((at, sample) => {
      ready[sample] = work(0, at, nodes[0]![1] / 4, "head");
      drawn[sample]!.push(ready[sample]!);
    });
  }
  const ms = Math.max(...free);
  for (const spans of busy) spans.sort((a, b) => a.from - b.from);
  return {
    kind: "simulated",
    ms,
    nodes: nodes.map(([name], i) => ({
      name,
      layers: [10 * i, 10 * i + 9],
      busy: busy[i]!,
      weightBytes: 2.2e7 + 1e7 * i,
      kvBytes: 9e6,
    })),
    links: nodes.length === 1 ? [] : links,
    samples: drawn.map((times, sample) => ({
      sample,
      promptTokens: 12,
      tokens: times,
      slot: { from: 0, to: times.at(-1)! },
    })),
  };
}

/** When the nodes of a run computed: over all of it, and in a short stretch. */
import type { CustomSeriesRenderItemReturn } from "echarts";
import {
  busyFraction,
  type Timeline,
  type TimelineWork,
  tokensPerSecond,
  type Window,
} from "../../engine/plan/timeline.ts";
import { formatLayers, formatShare } from "../table.ts";
import { evenly } from "./evenly.ts";
import {
  bottomAxis,
  type Figure,
  nameAxis,
  readable,
  roomFor,
  rowsHeight,
  seconds,
  secondsLabel,
  topLegend,
  type Width,
} from "./figure.ts";
import { GRID, SERIES } from "./theme.ts";

/** Nodes that a text alternative names. */
const MOST_NAMED = 32;
/** Spans of the busiest node in a close look. */
const SPANS: Record<Width, number> = { wide: 48, narrow: 18 };
/** A close look chooses among one more stretches of the run than this. */
const PLACES = 64;
const BINS: Record<Width, number> = { wide: 144, narrow: 48 };

/** What a node computes, as a legend has it; embed counts with the starter's layers where it is not apart. */
const WORK: readonly (readonly [name: string, what: readonly TimelineWork[]])[] = [
  ["layers", ["layers", "forward"]],
  ["head", ["head"]],
  ["embed", ["embed"]],
];

/** How busy each node was, over the whole run. */
export function stripFigure({ nodes, ms, kind }: Timeline, id = "run"): Figure {
  const names = nodes.map(({ name }) => name);
  const whole = { from: 0, to: ms };
  return {
    id: `${id}-strip`,
    title: "Busy and idle",
    caption: `The whole run, ${kind}: the stronger the colour, the larger the share of that ` +
      `moment in which the node computed. To the right, the share of the run.`,
    alt: `Strips of how busy each node was: ${
      evenly(nodes, MOST_NAMED).map((node) =>
        `${node.name} ${formatShare(busyFraction(node, whole))}`
      ).join(", ")
    }.`,
    table: {
      header: ["node", "layers", "busy", "idle", "computing, s", "pieces of work"],
      rows: nodes.map((node) => [
        node.name,
        formatLayers(node.layers),
        formatShare(busyFraction(node, whole)),
        formatShare(1 - busyFraction(node, whole)),
        readable(busyFraction(node, whole) * ms / 1000),
        String(node.busy.length),
      ]),
    },
    height: (width) => rowsHeight(nodes.length, width, 74),
    option(width) {
      const bins = BINS[width];
      const size = ms / bins;
      const data = nodes.flatMap((node, row) =>
        Array.from({ length: bins }, (_, i) => [
          i * size / 1000,
          (i + 1) * size / 1000,
          row,
          busyFraction(node, { from: i * size, to: (i + 1) * size }),
        ])
      );
      return {
        grid: { left: roomFor(names, width), right: 56, top: 8, bottom: 48 },
        xAxis: bottomAxis("s", {
          max: ms / 1000,
          axisLabel: secondsLabel(),
          splitLine: { show: false },
        }),
        yAxis: [
          nameAxis(names, width, {
            inverse: true,
            axisLine: { show: false },
          }),
          nameAxis(nodes.map((node) => formatShare(busyFraction(node, whole))), width, {
            inverse: true,
            position: "right",
            axisLine: { show: false },
          }),
        ],
        series: [
          boxes(
            [[0, ms / 1000]].flatMap(([from, to]) => nodes.map((_, row) => [from!, to!, row, 1])),
            GRID,
          ),
          boxes(data.filter(([, , , share]) => share! > 0.005), SERIES[0]!),
        ],
      };
    },
  };
}

/** What each node did in a short stretch of the run. */
export function ganttFigure(timeline: Timeline, id = "run"): Figure {
  const { nodes, kind } = timeline;
  const names = nodes.map(({ name }) => name);
  const window = closeLook(timeline, SPANS.wide);
  const length = window.to - window.from;
  const inside = (look: Window) => (span: Window) => span.to > look.from && span.from < look.to;
  const kinds = WORK.filter(([, of]) =>
    nodes.some(({ busy }) => busy.some(({ what }) => of.includes(what)))
  );
  return {
    id: `${id}-gantt`,
    title: "A close look",
    caption:
      `The ring from ${seconds(window.from)} s on, ${kind}: each bar is a frame that a node ` +
      `computes, each gap a wait.`,
    alt: `Gantt chart of ${nodes.length} nodes over ${
      readable(length)
    } ms; the table below has their shares.`,
    table: {
      header: ["node", "busy in this stretch", "frames", "mean of a frame, ms", "rows of a frame"],
      rows: nodes.map((node) => {
        const spans = node.busy.filter(inside(window));
        const mean = (of: (span: typeof spans[number]) => number) =>
          spans.length === 0 ? NaN : spans.reduce((sum, span) => sum + of(span), 0) / spans.length;
        return [
          node.name,
          formatShare(busyFraction(node, window)),
          String(spans.length),
          readable(mean(({ from, to }) => to - from)),
          readable(mean(({ rows }) => rows)),
        ];
      }),
    },
    height: (width) => rowsHeight(nodes.length, width, 104),
    option(width) {
      const look = { from: window.from, to: window.from + length * SPANS[width] / SPANS.wide };
      const { legend, top } = topLegend(kinds.map(([name]) => name), width);
      const clip = (at: number) => Math.min(look.to, Math.max(look.from, at)) - look.from;
      return {
        legend,
        grid: { left: roomFor(names, width), right: 16, top, bottom: 48 },
        xAxis: bottomAxis("ms", { max: look.to - look.from, axisLabel: secondsLabel() }),
        yAxis: nameAxis(names, width, {
          inverse: true,
          axisLine: { show: false },
        }),
        series: kinds.map(([name, of], i) =>
          boxes(
            nodes.flatMap(({ busy }, row) =>
              busy.filter(({ what }) => of.includes(what)).filter(inside(look))
                .map(({ from, to }) => [clip(from), clip(to), row, 1])
            ),
            SERIES[i]!,
            { name, gap: true },
          )
        ),
      };
    },
  };
}

/**
 * A stretch of a run in which the busiest node has about so many spans: where samples decode, as near to the
 * middle as there is one with about as many tokens as any has.
 */
function closeLook(timeline: Timeline, spans: number): Window {
  const { nodes, ms } = timeline;
  const most = Math.max(1, ...nodes.map(({ busy }) => busy.length));
  const length = Math.min(ms, ms * spans / most);
  const places = Array.from({ length: PLACES + 1 }, (_, i) => {
    const from = i / PLACES * (ms - length);
    const window = { from, to: from + length };
    return { window, speed: tokensPerSecond(timeline, window) };
  });
  const enough = 0.95 * Math.max(...places.map(({ speed }) => speed));
  const off = ({ from, to }: Window) => Math.abs(from + to - ms);
  return places.filter(({ speed }) => speed >= enough).map(({ window }) => window)
    .reduce((best, each) => off(each) < off(best) ? each : best);
}

/** Boxes of [from, to, row, opacity]. */
function boxes(
  data: readonly (readonly number[])[],
  color: string,
  { name, gap = false }: { name?: string; gap?: boolean } = {},
) {
  return {
    type: "custom" as const,
    ...(name !== undefined && { name }),
    silent: true,
    clip: true,
    itemStyle: { color },
    data: data.map((each) => [...each]),
    encode: { x: [0, 1], y: 2 },
    renderItem(
      _: unknown,
      api: {
        value(i: number): number | string;
        coord(at: number[]): number[];
        size?(of: number[]): number | number[];
      },
    ): CustomSeriesRenderItemReturn {
      const [from, to, row, opacity] = [0, 1, 2, 3].map((i) => Number(api.value(i)));
      const [x0, y] = api.coord([from!, row!]);
      const [x1] = api.coord([to!, row!]);
      const band = (api.size!([0, 1]) as number[])[1]!;
      const height = Math.min(26, band * 0.72);
      // A gap of half a pixel keeps neighbours apart; a box is never too thin to be seen.
      const width = Math.max(0.6, x1! - x0! - (gap ? 0.6 : 0));
      return {
        type: "rect",
        shape: { x: x0!, y: y! - height / 2, width, height, r: gap ? Math.min(1.5, width / 3) : 0 },
        style: { fill: color, opacity: opacity! },
      };
    },
  };
}

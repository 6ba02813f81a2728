/** Pictures of a run: its tokens over time, when its nodes computed, what memory they took. */
import type { EChartsOption } from "echarts";
import { formatBytes } from "../../engine/format_bytes.ts";
import type { Timeline } from "../../engine/plan/timeline.ts";
import { formatLayers } from "../table.ts";
import { ganttFigure, stripFigure } from "./busy_figures.ts";
import { evenly } from "./evenly.ts";
import { bottomAxis, type Figure, nameAxis, roomFor, rowsHeight, topLegend } from "./figure.ts";
import { SERIES, SURFACE } from "./theme.ts";
import { tokensFigure } from "./tokens_figure.ts";

/** Nodes that a text alternative names. */
const MOST_NAMED = 32;

/** All pictures of a run; `id` sets them apart from those of another run in the page. */
export function timelineFigures(timeline: Timeline, id = "run"): Figure[] {
  const { nodes, samples } = timeline;
  const figures: Figure[] = [];
  if (samples.some(({ tokens }) => tokens.length > 0)) figures.push(tokensFigure(timeline, id));
  if (nodes.some(({ busy }) => busy.length > 0)) {
    figures.push(stripFigure(timeline, id), ganttFigure(timeline, id));
  }
  if (nodes.some(({ weightBytes, kvBytes }) => weightBytes + kvBytes > 0)) {
    figures.push(memoryFigure(timeline, id));
  }
  return figures;
}

/** Weights and KV caches on each node. */
export function memoryFigure({ nodes }: Timeline, id = "run"): Figure {
  const names = nodes.map(({ name }) => name);
  const MB = 1e6;
  const parts = [
    ["weights", nodes.map(({ weightBytes }) => weightBytes / MB)],
    ["KV caches", nodes.map(({ kvBytes }) => kvBytes / MB)],
  ] as const;
  return {
    id: `${id}-memory`,
    title: "Memory per node",
    caption: "Weights that are resident, and KV caches at their largest.",
    alt: `Stacked bars: ${
      evenly(nodes, MOST_NAMED).map((node) =>
        `${node.name} ${formatBytes(node.weightBytes + node.kvBytes)}`
      ).join(", ")
    }.`,
    table: {
      header: ["node", "layers", "weights", "KV caches"],
      rows: nodes.map((node) => [
        node.name,
        formatLayers(node.layers),
        formatBytes(node.weightBytes),
        formatBytes(node.kvBytes),
      ]),
    },
    height: (width) => rowsHeight(nodes.length, width, 104),
    option: (width): EChartsOption => ({
      legend: topLegend(parts.map(([name]) => name), width).legend,
      grid: { left: roomFor(names, width), right: 24, top: 36, bottom: 48 },
      xAxis: bottomAxis("MB"),
      yAxis: nameAxis(names, width, { inverse: true }),
      series: parts.map(([name, data], i) => ({
        type: "bar" as const,
        name,
        stack: "memory",
        silent: true,
        emphasis: { disabled: true },
        barMaxWidth: 22,
        itemStyle: { color: SERIES[i]!, borderColor: SURFACE, borderWidth: 1 },
        data: [...data],
      })),
    }),
  };
}

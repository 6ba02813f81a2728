/** From a chart's description to SVG: Apache ECharts draws, without a browser and only where it is wanted. */
import type { EChartsOption } from "echarts";
import type { ReportTable } from "./input.ts";
import { GRID, INK, MUTED, SERIES } from "./theme.ts";

/** A page on a screen, or on a telephone. */
export type Width = "wide" | "narrow";

/** Size of text in CSS pixels. */
export const FONT = 13;
const LEGEND_GAP = 18;

/** Width of a drawing, in CSS pixels. */
export const PIXELS: Record<Width, number> = { wide: 864, narrow: 340 };

/** A chart with everything that goes with it. */
export interface Figure {
  /** Its name in the page: letters, digits and "-". */
  readonly id: string;
  readonly title: string;
  /** One or two sentences below it: what it shows and what to look for. */
  readonly caption: string;
  /** What it shows, for those who do not see it. */
  readonly alt: string;
  /** The figures behind it. */
  readonly table: ReportTable;
  /** Height of the drawing in CSS pixels. */
  height(width: Width): number;
  option(width: Width): EChartsOption;
}

/** Draws figures. */
export interface Drawer {
  /** The figure as an `<svg>` element whose colours are names of the theme. */
  draw(figure: Figure, width: Width): string;
}

/** Loads the library: a megabyte that no other command needs. */
export async function openDrawer(): Promise<Drawer> {
  // The bundle, as the package's modules ask for environment variables.
  const { init, setPlatformAPI } = await import(
    "echarts/dist/echarts.esm.min.mjs"
  ) as typeof import("echarts");
  setPlatformAPI({ measureText: (text, font) => ({ width: textWidth(text, fontSize(font)) }) });
  return {
    draw(figure, width) {
      const chart = init(null, null, {
        renderer: "svg",
        ssr: true,
        width: PIXELS[width],
        height: figure.height(width),
      });
      try {
        const option = figure.option(width);
        chart.setOption({
          animation: false,
          color: SERIES,
          textStyle: { fontFamily: "inherit", color: INK, fontSize: FONT },
          ...option,
        });
        return cleaned(chart.renderToSVGString(), figure, width);
      } finally {
        chart.dispose();
      }
    },
  };
}

/**
 * What a still picture needs: no hover styles, no marks for scripts, and names of clip paths that do not
 * depend on what was drawn before.
 */
function cleaned(svg: string, { id, height }: Figure, width: Width): string {
  const size = `0 0 ${PIXELS[width]} ${height(width)}`;
  return svg
    .replace(
      /^<svg[^>]*>/,
      `<svg class="${width}" viewBox="${size}" role="img" aria-labelledby="${id}-alt">`,
    )
    .replace(/<style[\s\S]*?<\/style>/g, "")
    .replace(/ (?:class="zr[^"]*"|ecmeta_\w+="[^"]*"|pointer-events="[^"]*")/g, "")
    .replace(/\bzr\d+-c(\d+)/g, `${id}-${width}-$1`)
    .replaceAll(/ style="([^"]*)font-family:inherit;([^"]*)"/g, ' style="$1$2"')
    .replace(/\n+/g, "\n");
}

/** An axis of numbers. */
export function valueAxis(name: string, more: Record<string, unknown> = {}) {
  return {
    type: "value" as const,
    name,
    nameLocation: "end" as const,
    nameTextStyle: { color: MUTED, fontSize: FONT, align: "left" as const },
    axisLine: { show: false },
    axisTick: { show: false },
    axisLabel: { color: MUTED, fontSize: FONT, hideOverlap: true },
    splitLine: { lineStyle: { color: GRID } },
    ...more,
  };
}

/** The name of an axis along the bottom, below its labels. */
export const BELOW = {
  nameLocation: "middle" as const,
  nameGap: 32,
  nameTextStyle: { color: MUTED, fontSize: FONT },
};

/** An axis of numbers along the bottom. */
export function bottomAxis(name: string, more: Record<string, unknown> = {}) {
  return valueAxis(name, { ...BELOW, ...more });
}

/** An axis of names; long ones end in an ellipsis. */
export function nameAxis(
  names: readonly string[],
  width: Width,
  more: Record<string, unknown> = {},
) {
  return {
    type: "category" as const,
    data: [...names],
    axisLine: { lineStyle: { color: GRID } },
    axisTick: { show: false },
    axisLabel: {
      color: INK,
      fontSize: FONT,
      interval: 0,
      formatter: (name: string) => shortened(name, width),
    },
    ...more,
  };
}

/** Room for names to the left of a chart. */
export function roomFor(names: readonly string[], width: Width): number {
  return 12 + Math.max(...names.map((name) => textWidth(shortened(name, width), FONT)));
}

function shortened(name: string, width: Width): string {
  const most = width === "wide" ? 24 : 12;
  const letters = [...name];
  return letters.length <= most ? name : `${letters.slice(0, most - 1).join("")}…`;
}

/** A legend above the chart, and where the chart begins below it. */
export function topLegend(names: readonly string[], width: Width, mark: "box" | "line" = "box") {
  const itemWidth = mark === "box" ? 14 : 26;
  let rows = 1;
  let used = 0;
  for (const name of names) {
    const item = itemWidth + 5 + textWidth(name, FONT) + LEGEND_GAP;
    if (used > 0 && used + item - LEGEND_GAP > PIXELS[width]) {
      rows++;
      used = 0;
    }
    used += item;
  }
  return {
    top: names.length > 1 ? 8 + 31 * rows : 8,
    legend: {
      show: names.length > 1,
      data: [...names],
      top: 0,
      left: 0,
      padding: [4, 0],
      borderColor: GRID,
      ...mark === "box" && { icon: "roundRect" },
      itemWidth,
      itemHeight: 10,
      itemGap: LEGEND_GAP,
      textStyle: { color: INK, fontSize: FONT },
    },
  };
}

/** Height of the name above an axis. */
export const AXIS_NAME = 24;

/** The frame of a chart of lines over a few values: its legend, axes and room. */
export function linesFrame(
  names: readonly string[],
  { over, at }: { over: string; at: readonly string[] },
  width: Width,
) {
  const { top, legend } = topLegend(names, width, "line");
  return {
    legend,
    grid: { left: 4, right: 24, top: top + AXIS_NAME, bottom: 30, containLabel: true },
    xAxis: nameAxis(at, "wide", {
      name: over,
      ...BELOW,
      axisLabel: { color: MUTED, fontSize: FONT, hideOverlap: true },
    }),
    yAxis: valueAxis("tokens/s"),
  };
}

/** The frame of a chart of bars, a row of them for each name. */
export function barsFrame(
  kinds: readonly string[],
  { names, unit }: { names: readonly string[]; unit: string },
  width: Width,
) {
  return {
    legend: topLegend(kinds, width).legend,
    grid: { left: roomFor(names, width), right: 46, top: 36, bottom: 48 },
    xAxis: bottomAxis(unit),
    yAxis: nameAxis(names, width, { inverse: true }),
  };
}

/** What a series has where nobody can point at it. */
export const STILL = { silent: true, emphasis: { disabled: true } };

/** The value beside a point or a bar. */
export function valueLabel(position: "top" | "right", color: string, show = true) {
  return {
    show,
    position,
    color,
    fontSize: FONT,
    formatter: ({ value }: { value: unknown }) => readable(Number(value)),
  };
}

/**
 * About how wide a text is in CSS pixels, in the wider of the common sans-serif fonts: there is no font to
 * measure with where a report is made, and another where it is read.
 */
function textWidth(text: string, size: number): number {
  let ems = 0;
  for (const letter of text) {
    if (/[ijlftI.,:;'|!()[\]\/ -]/.test(letter)) ems += 0.38;
    else if (/[mwMW%@]/.test(letter)) ems += 0.95;
    else if (/[A-Z]/.test(letter)) ems += 0.7;
    else ems += letter > "\u2e80" ? 1 : 0.62;
  }
  return ems * size;
}

function fontSize(font: string | undefined): number {
  return Number(font?.match(/([\d.]+)px/)?.[1] ?? FONT);
}

/** A number as people read it: three digits that count. */
export function readable(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 100 || value === 0) return Math.round(value).toLocaleString("en");
  return value.toFixed(size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

/** The height of a chart with a row for each node, and so much besides. */
export function rowsHeight(rows: number, width: Width, besides: number): number {
  return besides + rows * (width === "wide" ? rows > 12 ? 24 : 36 : rows > 12 ? 22 : 32);
}

/** A time in seconds, as people read it. */
export function seconds(ms: number | undefined): string {
  return ms === undefined ? "–" : readable(ms / 1000);
}

/** Labels of a time axis: the last, at the end of the run, is left out where it is no round number. */
export function secondsLabel() {
  return {
    color: MUTED,
    fontSize: FONT,
    hideOverlap: true,
    showMaxLabel: false,
    formatter: (value: number) => String(Number(value.toFixed(3))),
  };
}

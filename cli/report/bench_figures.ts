/** Pictures of a bench's result: kernels by kind of weights, a stage by rows and context. */
import type { BenchFigure, BenchResult } from "./bench_result.ts";
import { nodesFigure } from "./comparison_figures.ts";
import {
  barsFrame,
  type Figure,
  linesFrame,
  readable,
  STILL,
  topLegend,
  valueLabel,
} from "./figure.ts";
import type { ReportTable } from "./input.ts";
import { median, quantile } from "./statistics.ts";
import { INK, SERIES } from "./theme.ts";

const SYMBOLS = ["circle", "diamond", "triangle", "rect"];
const LINES = ["solid", "dashed", "dotted"] as const;

/** All pictures of a result. */
export function benchFigures({ figures, model }: BenchResult): Figure[] {
  const of = (group: string, what?: string) =>
    figures.filter((figure) => figure.group === group && (!what || figure.of.what === what));
  const products = of("kernels").filter(({ unit }) => unit === "GMAC/s");
  const rings = of("ring");
  const found: Figure[] = [];
  if (products.length > 0) found.push(kernelsFigure(products));
  if (of("stage", "decode").length > 0) {
    found.push(decodeFigure(of("stage", "decode"), model.name));
  }
  if (of("stage", "prefill").length > 0) {
    found.push(prefillFigure(of("stage", "prefill"), model.name));
  }
  if (rings.length > 0) {
    found.push({
      ...nodesFigure(
        rings.map(({ of, values }) => ({ nodes: Number(of.nodes), measured: median(values) })),
        "bench-ring",
      ),
      title: "Ring on this device",
      caption: `Tokens/s of ${model.name} by the number of processes in the ring, one thread each.`,
    });
  }
  return found;
}

/** Figures of a group with their medians and ranges. */
export function benchTable(figures: readonly BenchFigure[]): ReportTable {
  return {
    header: ["what", "median", "least", "most", "unit", "rounds"],
    rows: figures.map(({ name, unit, values }) => [
      name,
      readable(median(values)),
      readable(Math.min(...values)),
      readable(Math.max(...values)),
      unit,
      String(values.length),
    ]),
  };
}

function kernelsFigure(figures: readonly BenchFigure[]): Figure {
  const kinds = [...new Set(figures.map(({ of }) => String(of.kind)))];
  const rows = distinct(figures, "rows");
  const speed = (kind: string, count: number) => {
    const found = figures.find(({ of }) => of.kind === kind && of.rows === count);
    return found ? median(found.values) : NaN;
  };
  return {
    id: "bench-kernels",
    title: "Kernels",
    caption:
      "Billions of multiplications with an addition, a second, on one thread, by kind of weights and " +
      "rows in a call. With one row, reading the weights is what takes the time.",
    alt:
      `Bars of GMAC/s for ${kinds.length} kinds of weights with ${
        rows.join(", ")
      } rows; the table ` +
      `below has their figures.`,
    table: {
      header: ["weights", ...rows.map((count) => `${count} rows, GMAC/s`)],
      rows: kinds.map((kind) => [kind, ...rows.map((count) => readable(speed(kind, count)))]),
    },
    height: (width) => 100 + kinds.length * (width === "wide" ? 40 : 38),
    option: (width) => ({
      ...barsFrame(rows.map(rowsName), { names: kinds, unit: "GMAC/s" }, width),
      series: rows.map((count, i) => ({
        type: "bar" as const,
        name: rowsName(count),
        ...STILL,
        barMaxWidth: 9,
        barGap: "10%",
        itemStyle: { color: SERIES[i % SERIES.length]!, borderRadius: [0, 2, 2, 0] },
        data: kinds.map((kind) => speed(kind, count)),
      })),
    }),
  };
}

function decodeFigure(figures: readonly BenchFigure[], model: string): Figure {
  const context = distinct(figures, "context");
  return {
    ...linesFigure(figures, "rows", (of) => `${of.context} cached, ${threads(of)}`),
    id: "bench-decode",
    title: "Decode by rows and context",
    caption:
      `Tokens/s of one node with all of ${model}: each row is a token of another sample, with ` +
      `${context.join(" or ")} tokens cached.`,
  };
}

function prefillFigure(figures: readonly BenchFigure[], model: string): Figure {
  return {
    ...linesFigure(figures, "tokens", threads),
    id: "bench-prefill",
    title: "Prompts by length",
    caption: `Prompt tokens/s of one node with all of ${model}.`,
  };
}

/** Lines of tokens/s over one of the things that figures differ in; one line for each name. */
function linesFigure(
  figures: readonly BenchFigure[],
  over: string,
  nameOf: (of: BenchFigure["of"]) => string,
): Pick<Figure, "alt" | "table" | "height" | "option"> {
  const at = distinct(figures, over);
  const names = [...new Set(figures.map(({ of }) => nameOf(of)))];
  const value = (name: string, x: number) =>
    figures.find(({ of }) => nameOf(of) === name && of[over] === x)?.values ?? [];
  const cell = (values: readonly number[]) =>
    values.length === 0
      ? "–"
      : `${readable(median(values))} (${readable(quantile(values, 0))} to ${
        readable(Math.max(...values))
      })`;
  return {
    alt: `Line chart of tokens/s by ${over}; the table below has its figures.`,
    table: {
      header: [over, ...names],
      rows: at.map((x) => [String(x), ...names.map((name) => cell(value(name, x)))]),
    },
    height: (width) => topLegend(names, width, "line").top + (width === "wide" ? 330 : 250),
    option: (width) => ({
      ...linesFrame(names, { over, at: at.map(String) }, width),
      series: names.map((name, i) => ({
        type: "line" as const,
        name,
        ...STILL,
        symbol: SYMBOLS[i % SYMBOLS.length]!,
        symbolSize: 8,
        itemStyle: { color: SERIES[i % SERIES.length]! },
        lineStyle: { width: 2, type: LINES[i % LINES.length]! },
        label: valueLabel("top", INK, names.length === 1),
        data: at.map((x) => median(value(name, x))),
      })),
    }),
  };
}

function rowsName(count: number): string {
  return count === 1 ? "1 row" : `${count} rows`;
}

function threads(of: BenchFigure["of"]): string {
  return of.threads === 1 ? "1 thread" : `${of.threads} threads`;
}

function distinct(figures: readonly BenchFigure[], key: string): number[] {
  return [...new Set(figures.map(({ of }) => Number(of[key])))].sort((a, b) => a - b);
}

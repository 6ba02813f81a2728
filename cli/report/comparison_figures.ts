/** Pictures that set figures beside each other: speed by nodes, predicted against measured. */
import { barsFrame, type Figure, linesFrame, readable, STILL, valueLabel } from "./figure.ts";
import type { CalibrationRow, NodesPoint } from "./input.ts";
import { INK, MUTED, SERIES } from "./theme.ts";

const KINDS = [
  ["measured", "circle", "solid", SERIES[0]],
  ["predicted", "diamond", "dashed", SERIES[1]],
  ["simulated", "rect", "solid", SERIES[3]],
  ["published", "triangle", "dotted", SERIES[2]],
] as const;

/** Tokens/s by the number of nodes: measured, predicted, published. */
export function nodesFigure(points: readonly NodesPoint[], id = "by-nodes"): Figure {
  const sorted = points.toSorted((a, b) => a.nodes - b.nodes);
  const kinds = KINDS.filter(([kind]) => sorted.some((point) => point[kind] !== undefined));
  const names = kinds.map(([kind]) => kind);
  const told = names.join(", ");
  const together = sorted.every((point) => {
    const values = kinds.flatMap(([kind]) => point[kind] ?? []);
    return Math.max(...values) <= 1.03 * Math.min(...values);
  });
  const cell = (value: number | undefined) => value === undefined ? "–" : readable(value);
  return {
    id,
    title: "Speed against number of nodes",
    caption: `Tokens/s of all samples together: ${told}.`,
    alt: `Line chart of tokens/s by nodes: ${
      sorted.map((point) =>
        `${point.nodes}: ${kinds.map(([kind]) => `${kind} ${cell(point[kind])}`).join(", ")}`
      ).join("; ")
    }.`,
    table: {
      header: ["nodes", ...kinds.map(([kind]) => `${kind}, tokens/s`)],
      rows: sorted.map((
        point,
      ) => [String(point.nodes), ...kinds.map(([kind]) => cell(point[kind]))]),
    },
    height: (width) => width === "wide" ? 360 : 290,
    option: (width) => ({
      ...linesFrame(names, { over: "nodes", at: sorted.map(({ nodes }) => `${nodes}`) }, width),
      series: kinds.map(([kind, symbol, line, color], i) => ({
        type: "line" as const,
        name: kind,
        ...STILL,
        symbol,
        symbolSize: 9,
        connectNulls: true,
        z: line === "solid" ? 2 : 3,
        itemStyle: { color: color! },
        lineStyle: { width: 2, type: line },
        // Where lines are apart, labels would lie on the next one; the table has all.
        label: valueLabel("top", INK, i === 0 && together),
        data: sorted.map((point) => point[kind] ?? null),
      })),
    }),
  };
}

/** Predicted against measured, a pair of bars for each row. */
export function calibrationFigure(
  rows: readonly CalibrationRow[],
  unit: string,
  id = "calibration",
): Figure {
  const names = rows.map(({ name }) => name);
  const off = ({ predicted, measured }: CalibrationRow) =>
    measured === 0
      ? "–"
      : `${predicted >= measured ? "+" : "−"}${
        (100 * Math.abs(predicted / measured - 1)).toFixed(0)
      } %`;
  return {
    id,
    title: "Predicted against measured",
    caption:
      "What the plan said, and what the run had. The table says by how much the plan was off.",
    alt: `Bars, ${unit}: ${
      rows.map((row) =>
        `${row.name} predicted ${readable(row.predicted)}, measured ${readable(row.measured)}`
      ).join("; ")
    }.`,
    table: {
      header: ["", `predicted, ${unit}`, `measured, ${unit}`, "prediction off by"],
      rows: rows.map((row) => [
        row.name,
        readable(row.predicted),
        readable(row.measured),
        off(row),
      ]),
    },
    height: (width) => 104 + rows.length * (width === "wide" ? 46 : 44),
    option: (width) => ({
      ...barsFrame(["measured", "predicted"], { names, unit }, width),
      series: (["measured", "predicted"] as const).map((kind, i) => ({
        type: "bar" as const,
        name: kind,
        ...STILL,
        barMaxWidth: 16,
        barGap: "15%",
        itemStyle: { color: SERIES[i]!, borderRadius: [0, 2, 2, 0] },
        label: valueLabel("right", MUTED),
        data: rows.map((row) => row[kind]),
      })),
    }),
  };
}

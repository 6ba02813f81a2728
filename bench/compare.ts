/**
 * Two results beside each other. A figure differs where the ranges of its values do not overlap and the
 * medians are more than 5 % apart: so often as three rounds of the same lie apart by chance (one time in ten), they
 * lie apart by little, and of seven rounds they do once in 1,700. With fewer than three values nothing is
 * said to differ.
 */
import { BENCH_GROUPS, type BenchFigure, type BenchResult } from "../cli/report/bench_result.ts";
import { readable } from "../cli/report/figure.ts";
import { median } from "../cli/report/statistics.ts";
import { formatShare, renderTable } from "../cli/table.ts";

/** What a comparison says of a figure. */
export type Verdict = "better" | "worse" | "same" | "unknown";

/** By how much medians differ at least, as a share. */
const LEAST_DIFFERENCE = 0.05;
/** Rounds on both sides of which something can be said. */
const LEAST_VALUES = 3;

/** One figure of both results. */
export interface ComparedFigure {
  figure: BenchFigure;
  /** Medians. */
  a: number;
  b: number;
  /** b over a. */
  ratio: number;
  /** What b is beside a. */
  verdict: Verdict;
}

/** What two results have in common. */
export interface Comparison {
  figures: ComparedFigure[];
  /** What a person should know of it, one sentence each. */
  notes: string[];
}

/** Compares the figures that both results have; those of stage and ring only where both ran the same model. */
export function compareResults(a: BenchResult, b: BenchResult): Comparison {
  const notes: string[] = [];
  const sameModel = a.model.name === b.model.name && a.model.generated === b.model.generated;
  if (!sameModel) {
    notes.push(
      `Stage and ring are left out: A ran ${a.model.name}, B ${b.model.name}`,
    );
  }
  for (const key of ["arch", "cpu", "cores", "deno", "mdi", "simd", "dotProduct"] as const) {
    const [of, and] = [a.machine[key], b.machine[key]];
    if (of !== and) notes.push(`${key}: ${of ?? "not known"} in A, ${and ?? "not known"} in B`);
  }
  const comparable = (figure: BenchFigure) =>
    sameModel || (figure.group !== "stage" && figure.group !== "ring");
  const others = new Map(b.figures.map((figure) => [figure.name, figure]));
  const figures = a.figures.filter(comparable).flatMap((figure) => {
    const other = others.get(figure.name);
    if (!other || other.group !== figure.group || other.unit !== figure.unit) return [];
    return [compareFigure(figure, other)];
  });
  const missing = a.figures.filter(comparable).length - figures.length;
  if (missing > 0) notes.push(`${missing} figures of A are not in B`);
  return { figures, notes };
}

function compareFigure(figure: BenchFigure, other: BenchFigure): ComparedFigure {
  const a = median(figure.values);
  const b = median(other.values);
  const ratio = b / a;
  return { figure, a, b, ratio, verdict: verdictOf(figure, other, ratio) };
}

function verdictOf({ values, better }: BenchFigure, other: BenchFigure, ratio: number): Verdict {
  if (values.length < LEAST_VALUES || other.values.length < LEAST_VALUES) return "unknown";
  const apart = Math.min(...values) > Math.max(...other.values) ||
    Math.max(...values) < Math.min(...other.values);
  if (!apart || Math.abs(ratio - 1) <= LEAST_DIFFERENCE) return "same";
  return (ratio > 1) === (better === "more") ? "better" : "worse";
}

/** The comparison as a table for people. */
export function comparisonText({ figures, notes }: Comparison): string {
  const rows = BENCH_GROUPS.flatMap((group) =>
    figures.filter(({ figure }) => figure.group === group).map(
      ({ figure, a, b, ratio, verdict }) => [
        group,
        figure.name,
        readable(a),
        readable(b),
        figure.unit,
        readable(ratio),
        verdict === "same" ? "within noise" : verdict,
      ],
    )
  );
  const count = (verdict: Verdict) => figures.filter((each) => each.verdict === verdict).length;
  const table = renderTable(["", "figure", "A", "B", "unit", "B/A", "B is"], rows);
  const end = `${figures.length} figures: ${count("better")} better, ${count("worse")} worse, ${
    count("same")
  } within noise. They differ where the ranges of their rounds do not overlap and the medians are more than ${
    formatShare(LEAST_DIFFERENCE)
  } apart.`;
  return [table, ...notes, end].join("\n");
}

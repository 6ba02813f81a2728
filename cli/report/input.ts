/** What a report is made from. Every part but the title may be left out; a page shows what there is. */
import type { Timeline } from "../../engine/plan/timeline.ts";
import type { BenchResult } from "./bench_result.ts";

/** A table of texts: the first column names the row. */
export interface ReportTable {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** What a ring of so many nodes reached or would reach, in tokens/s. */
export interface NodesPoint {
  readonly nodes: number;
  readonly measured?: number;
  readonly predicted?: number;
  readonly simulated?: number;
  /** What others published for the same devices. */
  readonly published?: number;
}

/** A figure as the plan said it and as a run had it. */
export interface CalibrationRow {
  readonly name: string;
  readonly predicted: number;
  readonly measured: number;
}

/** A run to draw, with what sets it apart where there are several. */
export interface TitledTimeline {
  readonly title: string;
  readonly timeline: Timeline;
}

/** The parts of a report, in the order in which the page has them. */
export interface ReportInput {
  readonly title: string;
  readonly subtitle?: string;
  /** A few figures at the top, as a name and a value with its unit. */
  readonly facts?: readonly (readonly [name: string, value: string])[];
  /** The table of the ring's nodes. */
  readonly nodes?: ReportTable;
  readonly byNodes?: readonly NodesPoint[];
  /** Predicted against measured; all rows have the same unit, such as "ms/token". */
  readonly calibration?: { readonly unit: string; readonly rows: readonly CalibrationRow[] };
  /** One run. */
  readonly timeline?: Timeline;
  /** Several runs, one after another. */
  readonly timelines?: readonly TitledTimeline[];
  readonly bench?: BenchResult;
}

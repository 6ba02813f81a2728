/** Tokens over time. */
import type { Timeline, TimelineSample } from "../../engine/plan/timeline.ts";
import { evenly } from "./evenly.ts";
import {
  AXIS_NAME,
  bottomAxis,
  type Figure,
  readable,
  seconds,
  secondsLabel,
  STILL,
  topLegend,
  valueAxis,
} from "./figure.ts";
import { SERIES } from "./theme.ts";

/** Samples that have a colour and a name each; more are drawn alike. */
const NAMED_SAMPLES = 8;
const MOST_LINES = 48;
const POINTS = 120;
const MARKS = 8;
/** Rows of the table. */
const MOST_ROWS = 32;
const SYMBOLS = ["circle", "rect", "triangle", "diamond"];

/** Tokens of each sample over time. */
export function tokensFigure({ samples, ms, kind }: Timeline, id = "run"): Figure {
  const drawn = evenly(samples.filter(({ tokens }) => tokens.length > 0), MOST_LINES);
  const named = drawn.length <= NAMED_SAMPLES;
  const some = drawn.length < samples.length
    ? ` ${drawn.length} of ${samples.length} samples.`
    : "";
  return {
    id: `${id}-tokens`,
    title: "Tokens over time",
    caption: `Tokens of each sample, ${kind}. A level stretch is a sample that waits.${some}`,
    alt: `Line chart: the tokens of ${drawn.length} samples grow over ${readable(ms / 1000)} s; ` +
      `the table below has their figures.`,
    table: {
      header: ["sample", "prompt tokens", "first token, s", "last token, s", "tokens"],
      rows: evenly(samples, MOST_ROWS).map(({ sample, promptTokens, tokens }) => [
        String(sample),
        String(promptTokens),
        seconds(tokens[0]),
        seconds(tokens.at(-1)),
        String(tokens.length),
      ]),
    },
    height: (width) => width === "wide" ? 380 : 300,
    option(width) {
      const { legend, top } = topLegend(drawn.map(nameOf), width, "line");
      return {
        legend: { ...legend, show: named && legend.show },
        grid: {
          left: 4,
          right: 16,
          top: (named ? top : 8) + AXIS_NAME,
          bottom: 30,
          containLabel: true,
        },
        xAxis: bottomAxis("s", { max: ms / 1000, axisLabel: secondsLabel() }),
        yAxis: valueAxis("tokens", { minInterval: 1 }),
        series: drawn.map((sample, i) => ({
          type: "line" as const,
          name: nameOf(sample),
          ...STILL,
          symbol: SYMBOLS[i % SYMBOLS.length]!,
          showSymbol: named,
          lineStyle: { width: named ? 2 : 1, opacity: named ? 1 : 0.45 },
          itemStyle: { color: named ? SERIES[i]! : SERIES[0]! },
          data: marked(sample.tokens.map((at, k) => [at / 1000, k + 1])),
        })),
      };
    },
  };
}

function nameOf({ sample }: TimelineSample): string {
  return `sample ${sample}`;
}

/** The points of a line, a few of them with marks, by which lines are told apart without their colours. */
function marked(points: readonly number[][]) {
  const drawn = evenly(points, POINTS);
  const step = Math.ceil(drawn.length / MARKS);
  return drawn.map((value, i) => ({
    value,
    symbolSize: i % step === Math.floor(step / 2) ? 7 : 0,
  }));
}

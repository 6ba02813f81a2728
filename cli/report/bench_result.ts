/** The result of `deno task bench`, as its JSON file has it. */

/** What says that a file is a result. */
export const BENCH_FORMAT = "mdi-bench";
/** Raised whenever the meaning of a figure changes: results of different versions are not compared. */
export const BENCH_VERSION = 1;

/** What was measured, in the order of the pages and tables. */
export const BENCH_GROUPS = ["kernels", "stage", "codec", "link", "ring"] as const;

/** One of {@linkcode BENCH_GROUPS}. */
export type BenchGroup = typeof BENCH_GROUPS[number];

/** The machine that a result was measured on. */
export interface BenchMachine {
  /** When it began, ISO 8601. */
  date: string;
  /** "x86_64" or "aarch64". */
  arch: string;
  os: string;
  /** As the system names it; null where it does not. */
  cpu: string | null;
  /** Processors that the system counts. */
  cores: number;
  memoryBytes: number;
  deno: string;
  v8: string;
  mdi: string;
  /** "relaxed" or "plain": the kernels' build that runs here. */
  simd: string;
  /** How it reads 8-bit operands of the dot product. */
  dotProduct: string;
  /** Load averages over 1, 5 and 15 minutes when it began. */
  load: number[];
}

/** One figure, measured several times. */
export interface BenchFigure {
  group: BenchGroup;
  /** What it is, once in a result. */
  name: string;
  unit: string;
  better: "more" | "less";
  /** In the order of the rounds. */
  values: number[];
  /** What the name says, for programs: kind, rows, context, threads, nodes. */
  of: Record<string, string | number>;
}

/** A result. */
export interface BenchResult {
  format: typeof BENCH_FORMAT;
  version: typeof BENCH_VERSION;
  machine: BenchMachine;
  /** What stage and ring ran; `generated` where it was made up for want of a real one. */
  model: { name: string; generated: boolean };
  quick: boolean;
  figures: BenchFigure[];
}

const MOST_FIGURES = 10_000;
const MOST_VALUES = 100_000;

/**
 * Reads a result.
 * @param what names the file in messages.
 * @throws {TypeError} where it is none, saying what was met.
 */
export function readBenchResult(text: string, what: string): BenchResult {
  const refuse = (met: string) =>
    new TypeError(
      `Cannot read ${what} as a result of deno task bench: ${met}; measure again with --out FILE`,
    );
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw refuse("it is no JSON");
  }
  if (!isRecord(json) || json.format !== BENCH_FORMAT) {
    throw refuse(`it has no "format": "${BENCH_FORMAT}"`);
  }
  if (json.version !== BENCH_VERSION) {
    throw refuse(`it has version ${JSON.stringify(json.version)}, this is ${BENCH_VERSION}`);
  }
  const { machine, model, figures, quick } = json;
  if (!isMachine(machine)) throw refuse(`its "machine" is not complete`);
  if (!isRecord(model) || typeof model.name !== "string" || typeof model.generated !== "boolean") {
    throw refuse(`its "model" is not complete`);
  }
  if (typeof quick !== "boolean") throw refuse(`its "quick" is neither true nor false`);
  if (!Array.isArray(figures) || figures.length > MOST_FIGURES) {
    throw refuse(`its "figures" is no list of at most ${MOST_FIGURES}`);
  }
  const names = new Set<string>();
  figures.forEach((figure, i) => {
    if (!isFigure(figure)) throw refuse(`its "figures[${i}]" is no figure`);
    if (names.has(figure.name)) throw refuse(`it has two figures "${figure.name}"`);
    names.add(figure.name);
  });
  return json as unknown as BenchResult;
}

function isMachine(value: unknown): value is BenchMachine {
  return isRecord(value) &&
    ["date", "arch", "os", "deno", "v8", "mdi", "simd", "dotProduct"]
      .every((key) => typeof value[key] === "string") &&
    (value.cpu === null || typeof value.cpu === "string") &&
    Number.isFinite(value.cores) && Number.isFinite(value.memoryBytes) && areNumbers(value.load);
}

function isFigure(value: unknown): value is BenchFigure {
  return isRecord(value) && BENCH_GROUPS.some((group) => group === value.group) &&
    typeof value.name === "string" && typeof value.unit === "string" &&
    (value.better === "more" || value.better === "less") &&
    areNumbers(value.values) && value.values.length > 0 && isRecord(value.of) &&
    Object.values(value.of).every((each) => typeof each === "string" || Number.isFinite(each));
}

function areNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= MOST_VALUES &&
    value.every((each) => Number.isFinite(each));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

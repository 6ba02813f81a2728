/**
 * Progress of what takes time, on standard error: one line that redraws itself on a terminal, a line now
 * and then elsewhere.
 */
import { formatBytes } from "../engine/format_bytes.ts";

/** What is over sooner is not shown: on a terminal, and elsewhere. */
const DELAY_MS = { terminal: 500, lines: 2000 };
/** Milliseconds between two redraws on a terminal, and between two lines elsewhere. */
const EVERY_MS = { terminal: 100, lines: 5000 };
const WIDTH = 24;

/** What is counted. */
export type ProgressUnit = "bytes" | "blocks" | "ms";

/** Where progress goes. */
export interface ProgressSink {
  /** Whether the line can be redrawn. */
  terminal: boolean;
  /** Width of the terminal now. */
  columns(): number;
  /** Writes as it is. */
  write(text: string): void;
  /** A clock in ms. */
  now(): number;
  /** Whose line is the last one of the terminal: of several things at once, one is shown. */
  holder?: Progress | undefined;
}

/** One thing that takes time. */
export interface Progress {
  /** Reports where it stands; a total of 0 is unknown. */
  update(done: number, total: number): void;
  /** Ends the line. */
  end(): void;
}

/** The line for a state: "fetching model  [#####.....]  41 %  40 MB of 98 MB  12 MB/s  4 s left". */
export function progressLine(
  what: string,
  done: number,
  total: number,
  elapsedMs: number,
  unit: ProgressUnit = "bytes",
): string {
  const rate = elapsedMs > 0 ? done / (elapsedMs / 1000) : 0;
  const speed = rate > 0 && unit === "bytes" ? `  ${formatBytes(rate)}/s` : "";
  const count = (value: number) => unit === "bytes" ? formatBytes(value) : `${value}`;
  const suffix = unit === "bytes" ? "" : ` ${unit}`;
  if (total <= 0) return `${what}  ${count(done)}${suffix}${speed}`;
  const share = Math.min(1, done / total);
  const full = Math.round(share * WIDTH);
  const left = rate > 0 && done < total ? `  ${Math.ceil((total - done) / rate)} s left` : "";
  const bar = "#".repeat(full) + ".".repeat(WIDTH - full);
  const percent = (100 * share).toFixed(0).padStart(3);
  if (unit === "ms") return `${what}  [${bar}] ${percent} %`;
  return `${what}  [${bar}] ${percent} %  ${count(done)} of ${
    count(total)
  }${suffix}${speed}${left}`;
}

/** Starts a progress line. Nothing is written of what is over at once. */
export function startProgress(
  what: string,
  sink: ProgressSink,
  unit: ProgressUnit = "bytes",
): Progress {
  return new ProgressLine(what, sink, unit);
}

class ProgressLine implements Progress {
  #what: string;
  #sink: ProgressSink;
  #unit: ProgressUnit;
  #start: number;
  #shownAt = -Infinity;
  #last = "";

  constructor(what: string, sink: ProgressSink, unit: ProgressUnit) {
    this.#what = what;
    this.#sink = sink;
    this.#unit = unit;
    this.#start = sink.now();
  }

  update(done: number, total: number): void {
    const sink = this.#sink;
    const kind = sink.terminal ? "terminal" : "lines";
    const now = sink.now();
    const finished = total > 0 && done >= total;
    if (now - this.#start < DELAY_MS[kind]) return;
    if (now - this.#shownAt < EVERY_MS[kind] && !finished) return;
    if (sink.terminal && sink.holder && sink.holder !== this) return;
    const line = progressLine(this.#what, done, total, now - this.#start, this.#unit);
    if (line === this.#last) return;
    this.#shownAt = now;
    this.#draw(line);
    if (finished) this.end();
  }

  #draw(line: string): void {
    const sink = this.#sink;
    if (!sink.terminal) {
      this.#last = line;
      return sink.write(`${line}\n`);
    }
    // A line that is longer than the terminal would not be redrawn in place.
    const text = line.slice(0, Math.max(1, sink.columns() - 1));
    sink.holder = this;
    sink.write(`\r${text.padEnd(Math.min(this.#last.length, sink.columns() - 1))}`);
    this.#last = text;
  }

  end(): void {
    const sink = this.#sink;
    if (sink.holder !== this) return;
    sink.holder = undefined;
    sink.write("\n");
  }
}

/**
 * Progress of what takes time, on standard error: one line that redraws itself on a terminal, a line now
 * and then elsewhere.
 */
import { formatBytes } from "../engine/format_bytes.ts";

/** What is over sooner is not shown: on a terminal, and elsewhere. */
const DELAY_MS = { terminal: 500, lines: 2000 };
/** Milliseconds between two redraws on a terminal, and between two lines elsewhere. */
const EVERY_MS = { terminal: 100, lines: 5000 };
/** What has not been redrawn for so long gives the terminal's line to what goes on. */
const STALE_MS = 1000;
const WIDTH = 24;
/** Characters by which a bar is made shorter, and of the shortest that says something. */
const BAR_STEP = 2;
const LEAST_BAR = 4;
/** What figures in bytes come to: a bar that has room beside so many does not come and go with them. */
const FIGURES_WIDTH = "100 %  33.2 MB of 98.0 MB  10.0 MB/s  99 s left".length;

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
  /** When it was last written, on the sink's clock. */
  readonly shownAt: number;
  /** Takes an unfinished line off the terminal; a later update writes it again. */
  end(): void;
}

/** Where something stands. */
export interface ProgressState {
  /** Of {@linkcode ProgressState.total}; 0 there is unknown. */
  done: number;
  total: number;
  /** Time since it began, in ms. */
  elapsedMs: number;
  /** What was there when it began, as of a download that goes on. @default {0} */
  from?: number;
}

/**
 * The line for a state: "fetching model  [#####.....]  41 %  40 MB of 98 MB  12 MB/s  4 s left". Where it is
 * longer than `columns`, the bar gives way first and then the name, so that the figures stay whole.
 */
export function progressLine(
  what: string,
  { done, total, elapsedMs, from = 0 }: ProgressState,
  { unit = "bytes", columns = Infinity }: { unit?: ProgressUnit; columns?: number } = {},
): string {
  const seconds = elapsedMs / 1000;
  const rate = seconds > 0 ? Math.max(0, done - from) / seconds : 0;
  const count = (value: number) => unit === "bytes" ? formatBytes(value) : `${value}`;
  const suffix = unit === "bytes" ? "" : ` ${unit}`;
  const share = Math.min(1, total > 0 ? done / total : 0);
  const figures: string[] = [];
  if (total > 0) figures.push(`${(100 * share).toFixed(0).padStart(3)} %`);
  if (total <= 0) figures.push(`${count(done)}${suffix}`);
  else if (unit !== "ms") figures.push(`${count(done)} of ${count(total)}${suffix}`);
  if (rate > 0 && unit === "bytes") figures.push(`${formatBytes(rate)}/s`);
  if (rate > 0 && unit !== "ms" && done < total) {
    figures.push(`${Math.ceil((total - done) / rate)} s left`);
  }
  // Nothing has come yet: that the time goes on shows that the work does.
  if (rate === 0 && seconds >= 1 && unit === "bytes") {
    figures.push(`after ${Math.floor(seconds)} s`);
  }
  const end = figures.join("  ");
  const beside = unit === "bytes" ? Math.max(FIGURES_WIDTH, end.length) : end.length;
  const bar = total > 0 ? barOf(share, columns - what.length - beside) : "";
  const room = columns - (bar + end).length - 2;
  const name = what.length <= room ? what : `${what.slice(0, Math.max(0, room - 1))}…`;
  return `${name}  ${bar}${end}`;
}

/** "[###...] " in at most `room` characters with what sets it apart; empty where none fits. */
function barOf(share: number, room: number): string {
  // Of few widths, so that it does not change with every figure beside it.
  const width = Math.min(WIDTH, BAR_STEP * Math.floor((room - "  [] ".length) / BAR_STEP));
  if (width < LEAST_BAR) return "";
  const full = Math.round(share * width);
  return `[${"#".repeat(full)}${".".repeat(width - full)}] `;
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
  #from: number | undefined;
  #done = 0;
  #finished = false;
  #shownAt = -Infinity;
  #last = "";

  constructor(what: string, sink: ProgressSink, unit: ProgressUnit) {
    this.#what = what;
    this.#sink = sink;
    this.#unit = unit;
    this.#start = sink.now();
  }

  get shownAt(): number {
    return this.#shownAt;
  }

  update(done: number, total: number): void {
    const sink = this.#sink;
    const kind = sink.terminal ? "terminal" : "lines";
    const now = sink.now();
    const finished = total > 0 && done >= total;
    if (finished && this.#finished) return;
    if (this.#from === undefined || done < this.#done) {
      this.#from = done;
      if (done < this.#done) this.#start = now; // the same once more, or from its beginning
    }
    this.#done = done;
    this.#finished = finished;
    if (now - this.#start < DELAY_MS[kind]) return;
    if (now - this.#shownAt < EVERY_MS[kind] && !finished) return;
    if (sink.terminal && !this.#takesLine(now)) return;
    const line = progressLine(
      this.#what,
      { done, total, elapsedMs: now - this.#start, from: this.#from },
      // A line that is longer than the terminal would not be redrawn in place.
      { unit: this.#unit, ...(sink.terminal && { columns: sink.columns() - 1 }) },
    );
    if (sink.terminal) this.#draw(line);
    else if (line !== this.#last) sink.write(`${this.#last = line}\n`);
    this.#shownAt = now;
    if (finished) this.#leave();
  }

  /** Whether the terminal's line is this one's, as it is of what was first until it stands still. */
  #takesLine(now: number): boolean {
    const { holder } = this.#sink;
    if (holder && holder !== this) {
      if (now - holder.shownAt < STALE_MS) return false;
      holder.end();
    }
    return true;
  }

  #draw(line: string): void {
    const sink = this.#sink;
    const width = Math.max(1, sink.columns() - 1);
    const text = line.slice(0, width);
    if (sink.holder === this && text === this.#last) return;
    sink.write(`\r${text.padEnd(Math.min(this.#last.length, width))}`);
    sink.holder = this;
    this.#last = text;
  }

  /** A line that has come to 100 % stays on the screen. */
  #leave(): void {
    if (this.#sink.holder !== this) return;
    this.#sink.holder = undefined;
    this.#last = "";
    this.#sink.write("\n");
  }

  end(): void {
    const sink = this.#sink;
    if (sink.holder !== this) return;
    sink.holder = undefined;
    sink.write(`\r${" ".repeat(Math.min(this.#last.length, sink.columns() - 1))}\r`);
    this.#last = "";
  }
}

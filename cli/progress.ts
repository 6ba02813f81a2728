/**
 * Progress of anything over two seconds, on standard error: one line that redraws itself on a terminal,
 * a line now and then elsewhere.
 */
import { formatBytes } from "../engine/format_bytes.ts";

/** Milliseconds between two redraws on a terminal. */
const REDRAW_MS = 100;
/** Milliseconds between two lines where there is no terminal. */
const LINE_MS = 5000;
const WIDTH = 24;

/** Where progress goes. */
export interface ProgressSink {
  /** Whether the line can be redrawn. */
  terminal: boolean;
  write(text: string): void;
  now(): number;
}

/** One thing that takes time. */
export interface Progress {
  /** Reports where it stands, in bytes; a total of 0 is unknown. */
  update(done: number, total: number): void;
  /** Ends the line. */
  end(): void;
}

/** The line for a state: "fetching model  [#####.....]  41 %  40 MB of 98 MB  12 MB/s  4 s left". */
export function progressLine(what: string, done: number, total: number, elapsedMs: number): string {
  const rate = elapsedMs > 0 ? done / (elapsedMs / 1000) : 0;
  const speed = rate > 0 ? `  ${formatBytes(rate)}/s` : "";
  if (total <= 0) return `${what}  ${formatBytes(done)}${speed}`;
  const share = Math.min(1, done / total);
  const full = Math.round(share * WIDTH);
  const left = rate > 0 && done < total ? `  ${Math.ceil((total - done) / rate)} s left` : "";
  const bar = "#".repeat(full) + ".".repeat(WIDTH - full);
  return `${what}  [${bar}] ${(100 * share).toFixed(0).padStart(3)} %  ${formatBytes(done)} of ${
    formatBytes(total)
  }${speed}${left}`;
}

/** Starts a progress line. Nothing is written before the first update. */
export function startProgress(what: string, sink: ProgressSink): Progress {
  const start = sink.now();
  let shown = -Infinity;
  let last = "";
  const draw = (text: string) => {
    sink.write(sink.terminal ? `\r${text.padEnd(last.length)}` : `${text}\n`);
    last = text;
  };
  return {
    update(done, total) {
      const now = sink.now();
      if (now - shown < (sink.terminal ? REDRAW_MS : LINE_MS) && done !== total) return;
      const text = progressLine(what, done, total, now - start);
      if (text === last) return;
      shown = now;
      draw(text);
    },
    end() {
      if (sink.terminal && last !== "") sink.write("\n");
      last = "";
    },
  };
}

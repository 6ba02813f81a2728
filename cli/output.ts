/** The only place that writes: people's text, or JSON records for programs; logs on standard error. */
import { MdiError, messageOf } from "../wasm/error.ts";
import type { ProgressSink } from "./progress.ts";

/** What log lines are about, from what nobody may miss to what helps to find a mistake. */
export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
/** One of them. */
export type LogLevel = typeof LOG_LEVELS[number];

/** How to write. */
export interface OutputOptions {
  /** One JSON object a line on standard output and nothing else there. */
  json: boolean;
  /** Nothing but results and errors. */
  quiet: boolean;
  /** Form of the log lines. */
  log: "text" | "json";
  /**
   * The least that is logged; `quiet` leaves errors only.
   *
   * @default {"info"}
   */
  level?: LogLevel;
  /** Told once when nobody reads standard output any more, as after `| head -1`. */
  onClosed?: () => void;
}

const encoder = new TextEncoder();

/** Standard output and standard error of one command. */
export class Output {
  /** How it writes. */
  readonly options: OutputOptions;
  #closed = false;
  #progress: ProgressSink | undefined;

  /** Makes an output. */
  constructor(options: OutputOptions) {
    this.options = options;
  }

  /** Writes results for people; nothing with --json. */
  text(text: string): void {
    if (!this.options.json) this.#out(Deno.stdout.isTerminal() ? printable(text) : text);
  }

  /** Writes a record for programs; nothing without --json. */
  record(record: Record<string, unknown>): void {
    if (this.options.json) this.#out(`${JSON.stringify(record)}\n`);
  }

  /** Writes one event on standard error. */
  log(message: string, fields: Record<string, unknown> = {}): void {
    this.#event("info", message, fields);
  }

  /** Writes one event that something is wrong, though work goes on. */
  warn(message: string, fields: Record<string, unknown> = {}): void {
    this.#event("warn", message, fields);
  }

  /** Writes one event that nobody needs but who looks for a mistake. */
  debug(message: string, fields: Record<string, unknown> = {}): void {
    this.#event("debug", message, fields);
  }

  /** Writes an error: a record on standard output with --json, and a line on standard error. */
  error(message: string, fields: Record<string, unknown> & { code: string }): void {
    const safe = withoutTokens(message);
    try {
      this.record({ type: "error", code: fields.code, message: safe });
    } catch {
      // Standard output is what failed; standard error still tells.
    }
    this.#line("error", safe, fields);
  }

  /** Characters in a line of standard output; Infinity where it is no terminal. */
  get columns(): number {
    return Deno.stdout.isTerminal() ? columns() : Infinity;
  }

  /** Where progress lines go. What else is written takes an unfinished one off the screen. */
  progress(): ProgressSink {
    const { quiet, log, level = "info" } = this.options;
    const silent = quiet || log === "json" || level === "error" || level === "warn";
    return this.#progress ??= {
      terminal: Deno.stderr.isTerminal(),
      columns,
      write: (text) => silent ? undefined : writeErr(text),
      now: () => performance.now(),
    };
  }

  #event(level: LogLevel, message: string, fields: Record<string, unknown>): void {
    const { quiet, level: least = "info" } = this.options;
    const wanted = LOG_LEVELS.indexOf(quiet ? "error" : least);
    if (LOG_LEVELS.indexOf(level) <= wanted) this.#line(level, message, fields);
  }

  #line(level: LogLevel, message: string, fields: Record<string, unknown>): void {
    this.#progress?.holder?.end();
    const line = withoutTokens(message);
    if (this.options.log === "json") {
      const time = new Date().toISOString();
      writeErr(`${JSON.stringify({ time, level, message: line, ...fields })}\n`);
    } else {
      writeErr(`${level === "error" ? "mdi: error: " : ""}${printable(line)}\n`);
    }
  }

  #out(text: string): void {
    if (this.#closed) return;
    this.#progress?.holder?.end();
    try {
      writeAll(Deno.stdout, text);
    } catch (cause) {
      this.#closed = true;
      if (!(cause instanceof Deno.errors.BrokenPipe)) {
        throw new MdiError(
          "disk",
          `Cannot write to standard output: ${messageOf(cause)}; free space where it goes`,
          { cause },
        );
      }
      this.options.onClosed?.();
    }
  }
}

/** An object of a program as a record: the names of its fields in the form that all records have. */
export function recordOf(type: string, value: object): Record<string, unknown> {
  return { type, ...snakeCased(value) as Record<string, unknown> };
}

function snakeCased(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeCased);
  if (value === null || typeof value !== "object" || value instanceof Date) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      snakeCased(each),
    ]),
  );
}

/** What a terminal may be given: a model's text, or a name from a file, must not steer it. */
export function printable(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replaceAll("\r", "").replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "\ufffd");
}

/** Takes out what looks like a ring's token, however it came into a message. */
export function withoutTokens(text: string): string {
  return text.replace(/m[d][il1]1-?(?:[0-9a-z]{2,}-?){2,}/gi, "mdi1-…");
}

/** The --json, --quiet and --log of arguments that may be wrong in other places. */
export function outputOptionsOf(args: readonly string[]): OutputOptions {
  const log = args.includes("--log=json") || args[args.indexOf("--log") + 1] === "json";
  return {
    json: args.includes("--json"),
    quiet: args.includes("--quiet"),
    log: log && args.some((arg) => arg.startsWith("--log")) ? "json" : "text",
  };
}

function columns(): number {
  try {
    return Deno.consoleSize().columns || 80;
  } catch {
    return 80; // no terminal
  }
}

/** Standard error is for people who watch; where nobody does, work goes on. */
function writeErr(text: string): void {
  try {
    writeAll(Deno.stderr, text);
  } catch {
    // Closed, or on a full disk: there is no other place to say so.
  }
}

function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length;) at += stream.writeSync(bytes.subarray(at));
}

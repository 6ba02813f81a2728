/** The only place that writes: people's text, or JSON records for programs; logs on standard error. */
import type { ProgressSink } from "./progress.ts";

/** How to write. */
export interface OutputOptions {
  /** One JSON object a line on standard output and nothing else there. */
  json: boolean;
  /** Nothing but results and errors. */
  quiet: boolean;
  /** Form of the log lines. */
  log: "text" | "json";
}

const encoder = new TextEncoder();

/** Standard output and standard error of one command. */
export class Output {
  readonly options: OutputOptions;

  /** Makes an output. */
  constructor(options: OutputOptions) {
    this.options = options;
  }

  /** Writes results for people; nothing with --json. */
  text(text: string): void {
    if (!this.options.json) writeAll(Deno.stdout, text);
  }

  /** Writes a record for programs; nothing without --json. */
  record(record: Record<string, unknown>): void {
    if (this.options.json) writeAll(Deno.stdout, `${JSON.stringify(record)}\n`);
  }

  /** Writes one event on standard error. */
  log(message: string, fields: Record<string, unknown> = {}): void {
    if (!this.options.quiet) this.#line("info", message, fields);
  }

  /** Writes an error on standard error. */
  error(message: string, fields: Record<string, unknown> = {}): void {
    this.#line("error", message, fields);
  }

  #line(level: string, message: string, fields: Record<string, unknown>): void {
    writeAll(
      Deno.stderr,
      this.options.log === "json"
        ? `${JSON.stringify({ time: new Date().toISOString(), level, message, ...fields })}\n`
        : `${level === "error" ? "mdi: error: " : ""}${message}\n`,
    );
  }

  /** Where progress lines go. */
  progress(): ProgressSink {
    const silent = this.options.quiet || this.options.log === "json";
    return {
      terminal: Deno.stderr.isTerminal(),
      write: (text) => silent ? undefined : writeAll(Deno.stderr, text),
      now: () => performance.now(),
    };
  }
}

/** A closed pipe is the reader's way to say that it has enough. */
function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = encoder.encode(text);
  try {
    for (let at = 0; at < bytes.length;) at += stream.writeSync(bytes.subarray(at));
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

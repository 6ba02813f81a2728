/**
 * The entry: runs the command line, and turns signals and whatever is thrown into a message and an exit
 * status. The only file with Deno.args and Deno.exit.
 */
import { CommanderError } from "@commander-js/extra-typings";
import { MdiError, messageOf } from "../wasm/error.ts";
import { errorCode, EXIT_INTERNAL, EXIT_OK, EXIT_USAGE, exitStatus } from "./exit.ts";
import { Output } from "./output.ts";
import { createProgram } from "./program.ts";

/** How long a command may take to end after a signal. */
const GRACE_MS = 3000;

let output = new Output({ json: Deno.args.includes("--json"), quiet: false, log: "text" });
let signalStatus: number | undefined;

const program = createProgram(async (options, run) => {
  output = new Output({
    json: options.json ?? false,
    quiet: options.quiet ?? false,
    log: options.log === "json" ? "json" : "text",
  });
  const ending = new AbortController();
  let onInterrupt: (() => boolean) | undefined;
  const end = (name: string, status: number) => {
    if (name === "SIGINT" && onInterrupt?.()) return;
    if (signalStatus !== undefined) Deno.exit(status); // asked twice
    signalStatus = status;
    ending.abort(new MdiError("cancelled", `Ended by ${name}`));
    Deno.unrefTimer(setTimeout(() => Deno.exit(status), GRACE_MS));
  };
  const interrupt = () => end("SIGINT", 130);
  const terminate = () => end("SIGTERM", 143);
  Deno.addSignalListener("SIGINT", interrupt);
  Deno.addSignalListener("SIGTERM", terminate);
  try {
    await run({
      output,
      signal: ending.signal,
      onInterrupt: (handler) => {
        onInterrupt = handler;
      },
    });
  } finally {
    Deno.removeSignalListener("SIGINT", interrupt);
    Deno.removeSignalListener("SIGTERM", terminate);
  }
});

async function main(): Promise<number> {
  try {
    await program.parseAsync(Deno.args, { from: "user" });
    return signalStatus ?? EXIT_OK;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_OK : EXIT_USAGE;
    if (signalStatus !== undefined) return signalStatus;
    const status = exitStatus(error);
    const code = errorCode(error);
    output.record({ type: "error", code, message: messageOf(error) });
    output.error(messageOf(error), { code });
    if (status === EXIT_INTERNAL && error instanceof Error && error.stack) {
      output.error(error.stack);
    }
    return status;
  }
}

Deno.exit(await main());

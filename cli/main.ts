/**
 * The entry: runs the command line, and turns signals and whatever is thrown into a message and an exit
 * status. The only file with Deno.args and Deno.exit.
 */
import { CommanderError } from "@commander-js/extra-typings";
import { MdiError, messageOf } from "../wasm/error.ts";
import { errorCode, EXIT_CHECK_FAILED, EXIT_OK, EXIT_USAGE, exitStatus } from "./exit.ts";
import { Output, outputOptionsOf } from "./output.ts";
import { createProgram } from "./program.ts";
import { type Takes, usageMessage } from "./usage.ts";

/** How long a command may take to end after a signal. */
const GRACE_MS = 3000;

let output = new Output(outputOptionsOf(Deno.args));
/** The status of whoever ended the command from outside. */
let endedStatus: number | undefined;
/** The status where nothing was thrown. */
let status = EXIT_OK;

const program = createProgram(async (options, run) => {
  const ending = new AbortController();
  const end = (why: string, status: number) => {
    endedStatus = status;
    ending.abort(new MdiError("cancelled", `Ended by ${why}`));
    Deno.unrefTimer(setTimeout(() => Deno.exit(status), GRACE_MS));
  };
  output = new Output({ ...options, onClosed: () => end("its reader", EXIT_OK) });
  let onInterrupt: (() => boolean) | undefined;
  const signalled = (name: string, status: number) => {
    if (name === "SIGINT" && onInterrupt?.()) return;
    if (endedStatus !== undefined) Deno.exit(status); // asked twice
    end(name, status);
  };
  const interrupt = () => signalled("SIGINT", 130);
  const terminate = () => signalled("SIGTERM", 143);
  Deno.addSignalListener("SIGINT", interrupt);
  Deno.addSignalListener("SIGTERM", terminate);
  try {
    await run({
      output,
      signal: ending.signal,
      onInterrupt: (handler) => {
        onInterrupt = handler;
      },
      checkFailed: () => {
        status = EXIT_CHECK_FAILED;
      },
    });
  } finally {
    Deno.removeSignalListener("SIGINT", interrupt);
    Deno.removeSignalListener("SIGTERM", terminate);
  }
}, output.options);

/** The command that the arguments begin with. */
function meant(): Takes | undefined {
  return program.commands.find((command) => command.name() === Deno.args[0]);
}

async function main(): Promise<number> {
  try {
    await program.parseAsync(Deno.args, { from: "user" });
    return endedStatus ?? status;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT_OK;
      output.error(usageMessage(error, meant()), { code: "usage" });
      return EXIT_USAGE;
    }
    if (endedStatus !== undefined) return endedStatus;
    const code = errorCode(error);
    const stack = code === "internal" && error instanceof Error && error.stack;
    output.error(stack || messageOf(error), { code });
    return exitStatus(error);
  }
}

Deno.exit(await main());

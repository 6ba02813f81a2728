/** The flags of every command. */
import { type Command, Option } from "@commander-js/extra-typings";

/** Adds them, and refuses arguments that a command does not take. */
export function withOutput<
  Args extends unknown[],
  Opts extends Record<string, unknown>,
  Globals extends Record<string, unknown>,
>(
  command: Command<Args, Opts, Globals>,
) {
  return command
    .allowExcessArguments(false)
    .option("--json", "one JSON object a line on standard output")
    .addOption(
      new Option("--log <form>", "form of the log on standard error").choices(["text", "json"]),
    )
    .option("--quiet", "results and errors only");
}

/** What they come to. */
export interface OutputFlags {
  json?: true | undefined;
  quiet?: true | undefined;
  log?: string | undefined;
}

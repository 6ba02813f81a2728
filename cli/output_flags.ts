/** The flags of every command. */
import { type Command, Option } from "@commander-js/extra-typings";
import { LOG_LEVELS, type LogLevel } from "./output.ts";

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
    .addOption(logLevelOption())
    .option("--quiet", "results and errors only");
}

/** The flag of the log's level. */
export function logLevelOption() {
  return new Option("--log-level <level>", "the least that is logged (default: info)")
    .choices(LOG_LEVELS);
}

/** What they come to. */
export interface OutputFlags {
  json?: true | undefined;
  quiet?: true | undefined;
  log?: string | undefined;
  logLevel?: LogLevel | undefined;
}

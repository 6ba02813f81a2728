/** The commands that set a device up: proof that it computes right, a service, completions, a manual. */
import { Argument, type Command } from "@commander-js/extra-typings";
import { type OutputFlags, withOutput } from "./output_flags.ts";
import type { CommandContext } from "./program.ts";
import { addPlaceFlags, addServiceFlags } from "./service/flags.ts";
import { strayWord } from "./usage.ts";
import { addVerifyFlags } from "./verify/flags.ts";

/** Shells with completions. */
const SHELLS = ["bash", "zsh", "fish"] as const;
/** One of them. */
export type Shell = typeof SHELLS[number];

/** Starts a command whose flags are known. */
type Start = (flags: OutputFlags, run: (context: CommandContext) => Promise<void>) => Promise<void>;

/** Adds them. */
export function addSetupCommands(program: Command, start: Start): void {
  withOutput(
    addVerifyFlags(
      program.command("verify").summary(
        "Prove that this device, or a ring, gives the right tokens.",
      )
        .description(
          "Generate with the default model, and compare the tokens with those that are known to be right: on this device alone, and with --peers on the ring of all of them.",
        ),
    ),
  ).action((_options, command) => {
    const options = command.optsWithGlobals();
    return start(options, async (context) => {
      await (await import("./verify.ts")).verifyCommand(options, context);
    });
  });
  addServiceCommands(program, start);
  withOutput(
    program.command("completions").description("Write a shell's completions for mdi.")
      .addArgument(new Argument("<shell>", "the shell").choices(SHELLS)),
  ).action((shell, _options, command) =>
    start(command.optsWithGlobals(), async (context) => {
      (await import("./manual.ts")).completionsCommand(shell, program, context);
    })
  );
  withOutput(program.command("man").description("Write the manual page, in roff.")).action(
    (_options, command) =>
      start(command.optsWithGlobals(), async (context) => {
        (await import("./manual.ts")).manCommand(program, context);
      }),
  );
}

function addServiceCommands(program: Command, start: Start): void {
  const service = withOutput(
    program.command("service").description("Keep a secondary running with systemd."),
  ).allowExcessArguments()
    .action((_options, command) => command.error(strayWord(command, command.args[0])));
  withOutput(
    addServiceFlags(
      service.command("install").summary("Write a systemd unit that runs mdi --secondary.")
        .description(
          "Write a systemd unit that runs mdi --secondary with these flags, and may do little else. Nothing is started.",
        ),
    ),
  ).action((_options, command) => {
    const options = command.optsWithGlobals();
    return start(options, async (context) => {
      await (await import("./service.ts")).serviceInstallCommand(options, context);
    });
  });
  withOutput(
    addPlaceFlags(
      service.command("uninstall").summary("Remove the unit that install wrote.").description(
        "Remove the unit that install wrote, and the link that enables it. What the node has stored stays.",
      ),
    ),
  ).action((_options, command) => {
    const options = command.optsWithGlobals();
    return start(options, async (context) => {
      await (await import("./service.ts")).serviceUninstallCommand(options, context);
    });
  });
  withOutput(
    addServiceFlags(
      service.command("print").description("Show the unit that install would write."),
    ),
  ).action((_options, command) => {
    const options = command.optsWithGlobals();
    return start(options, async (context) => {
      (await import("./service.ts")).servicePrintCommand(options, context);
    });
  });
}

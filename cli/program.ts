/**
 * All commands and their flags. A command's own code is loaded when it is run: each needs other libraries, and
 * a secondary has no memory to spare for what it never does.
 */
import { Command, Option } from "@commander-js/extra-typings";
import { byteCount, decimalNumber, layerCounts, seedNumber, wholeNumber } from "./args.ts";
import { addDoctorFlags } from "./doctor/flags.ts";
import { examplesText } from "./manual/examples.ts";
import { versionText } from "./build_info.ts";
import type { Output, OutputOptions } from "./output.ts";
import { type OutputFlags, withOutput } from "./output_flags.ts";
import { addPlanFlags } from "./plan_flags.ts";
import { addRootFlags, DTYPES, type RootOptions, TOKENIZER_TEXT } from "./root_flags.ts";
import { addSetupCommands } from "./setup_commands.ts";
import { deaths, throttles, tokenLength } from "./simulate_args.ts";
import { typedModel, typedPath } from "./typed_path.ts";
import { flagNames, strayWord } from "./usage.ts";

export type { RootOptions };

/** Root flags that every command takes. */
const OUTPUT_FLAGS = ["json", "quiet", "log", "logLevel"];
/** Root flags that a secondary has for itself; all others are the starter's and travel. */
const NODE_FLAGS = [
  ...OUTPUT_FLAGS,
  ...["secondary", "listen", "name", "token", "backend", "threads", "pace", "memory", "storeLimit"],
  "endWithStdin",
];

const encoder = new TextEncoder();

/** What every command is given. */
export interface CommandContext {
  output: Output;
  /** Aborts when the process is told to end. */
  signal: AbortSignal;
  /** Told that the user pressed Ctrl-C; returns whether the command takes care of it. */
  onInterrupt(handler: (() => boolean) | undefined): void;
  /** Makes the exit status that of a check which found something wrong; the command goes on. */
  checkFailed(): void;
}

/** Starts the chosen command. */
export type Start = (
  output: OutputOptions,
  run: (context: CommandContext) => Promise<void>,
) => Promise<void>;

/**
 * Builds the command line.
 * @param output how to write while it is not known yet whether the arguments are right.
 */
export function createProgram(startCommand: Start, output: OutputOptions): Command {
  const start = (
    { json, quiet, log, logLevel }: OutputFlags,
    run: (context: CommandContext) => Promise<void>,
  ) => {
    const form = log === "json" ? "json" : "text";
    const level = logLevel === undefined ? {} : { level: logLevel };
    return startCommand({ json: json ?? false, quiet: quiet ?? false, log: form, ...level }, run);
  };
  const program = new Command("mdi")
    .description("Runs one language model on several small computers.")
    .version(versionText(), "--version", "print the version, and how this mdi was made")
    .helpOption("-h, --help", "print this help")
    .showSuggestionAfterError()
    // Mistakes are thrown and shown by whoever catches them.
    .configureOutput({
      outputError: () => {},
      // Else commander asks the environment, which mdi may not read as a whole; its help has no colours.
      getOutHasColors: () => false,
      getErrHasColors: () => false,
      ...(output.json && { writeOut: (text) => Deno.stderr.writeSync(encoder.encode(text)) }),
    })
    .exitOverride()
    .enablePositionalOptions()
    .allowExcessArguments();

  const root = addRootFlags(program);
  root.action((options, command) => {
    if (command.args.length > 0) {
      const prompt = options.starter ? " (a text to continue goes after --prompt)" : "";
      command.error(strayWord(program, command.args[0]!) + prompt);
    }
    const { starter, secondary, demo } = options;
    const roles = [starter, secondary, demo].filter(Boolean);
    if (roles.length > 1) command.error("a node is one of --starter, --secondary and --demo");
    if (roles.length === 1) return start(options, (context) => runNode(options, context));
    if (Object.keys(options).length === 0) command.help();
    command.error("say what this node is: --starter, --secondary or --demo");
  });
  root.hook("preSubcommand", (root, command) => {
    const stray = flagNames(root.opts(), OUTPUT_FLAGS)[0];
    if (stray) {
      root.error(`${stray} does not go with ${command.name()}; see "mdi ${command.name()} --help"`);
    }
  });

  withOutput(
    program.command("pull").argument("[model]", "", (text) => typedModel(text)).summary(
      "Fetch a model, so that later starts need no network.",
    )
      .description(
        "Fetch a model and cut it into blocks, so that later starts need no network.\n" +
          'MODEL is a path or "owner/name[:file or dtype]" on the Hugging Face hub; without one, the default model.',
      )
      .addOption(new Option("--dtype <dtype>", "which file of an ONNX export").choices(DTYPES))
      .option("--tokenizer <dir>", TOKENIZER_TEXT, (text) => typedPath(text))
      .option("--store-limit <bytes>", "disk that models may take, like 20GB", byteCount),
  ).action((model, _options, command) => {
    const options = command.optsWithGlobals();
    return start(options, async (context) => {
      const { pullCommand } = await import("./pull.ts");
      await pullCommand(model, options, context);
    });
  });

  withOutput(
    program.command("inspect").argument("[model]", "", (text) => typedModel(text))
      .description("Show a model's architecture, layers, dtypes, parameters and block sizes.")
      .addOption(new Option("--dtype <dtype>", "which file of an ONNX export").choices(DTYPES))
      .option("--tokenizer <dir>", TOKENIZER_TEXT, (text) => typedPath(text)),
  ).action((model, _options, command) => {
    const options = command.optsWithGlobals();
    return start(options, async (context) => {
      const { inspectCommand } = await import("./inspect.ts");
      await inspectCommand(model, options, context);
    });
  });

  withOutput(
    addPlanFlags(
      program.command("plan").summary(
        "Say which devices to use, with which layers, and what they give.",
      )
        .description(
          "Say which devices to use, with which layers each, what they would give, and what holds them up.",
        ),
    ),
  ).action((_options, command) => {
    const options = command.optsWithGlobals();
    return start(options, async (context) => {
      await (await import("./plan.ts")).planCommand(options, context);
    });
  });

  withOutput(
    program.command("simulate").summary("Run a plan on devices that are not there.")
      .description(
        "Run the plan for the devices of a file, or a split of your own, on a clock that only jumps: thousands of samples in seconds, with what a formula does not know.",
      )
      .requiredOption(
        "--what-if <file>",
        "devices and links, see mdi plan --help",
        (text) => typedPath(text),
      )
      .option("--samples <n>", "samples in all (4 for each slot)", wholeNumber(1, 1_000_000))
      .option("--slots <n>", "samples in the ring at once (the file's)", wholeNumber(1, 512))
      .option("--tokens <n>", "tokens of an answer, like 200 or 50-200 (200)", tokenLength)
      .option("--prompt-tokens <n>", "tokens of a prompt, like 32 or 10-90 (32)", tokenLength)
      .option("--rate <n>", "samples a second (all at once)", decimalNumber(1e-6, 1e6))
      .option("--seed <n>", "of everything that is random (0)", seedNumber)
      .option(
        "--jitter <ms>",
        "by how much each message's latency varies",
        decimalNumber(0, 60_000),
      )
      .option(
        "--loss <share>",
        "share of TCP segments that are lost, like 0.01",
        decimalNumber(0, 0.5),
      )
      .option(
        "--throttle <name=factor@s>",
        "a device that gets slower, like pi4=3@60 (repeatable)",
        throttles,
      )
      .option("--die <name@s>", "a device that dies, like pi4@60 (repeatable)", deaths)
      .option(
        "--layers <n,n,…>",
        "layers of each device of the file instead of the plan; 0 leaves one out",
        layerCounts,
      )
      .option("--report <file>", "write an HTML report with charts", (text) => typedPath(text)),
  ).action((_options, command) => {
    const options = command.optsWithGlobals();
    return start(options, async (context) => {
      await (await import("./simulate.ts")).simulateCommand(options, context);
    });
  });

  withOutput(
    addDoctorFlags(
      program.command("doctor").summary("Check this device and its peers, and say what to do.")
        .description(
          "Check this device (SIMD, threads, memory, disk, port, heat, power, Wi-Fi) and its peers (reached, token, version, round trip, clock), and say what to do.",
        ),
    ),
  ).action((_options, command) => {
    const options = command.optsWithGlobals();
    return start(options, async (context) => {
      await (await import("./doctor.ts")).doctorCommand(options, context);
    });
  });

  const store = withOutput(
    program.command("store").summary("List, check and remove what is stored on this device.")
      .description(
        "List, check and remove what is stored on this device, in $MDI_HOME or ~/.cache/mdi.",
      ),
  ).allowExcessArguments()
    .action((_options, command) => command.error(strayWord(command, command.args[0])));
  withOutput(store.command("list").description("List the stored models."))
    .action((_options, command) =>
      start(command.optsWithGlobals(), async (context) => {
        await (await import("./store.ts")).storeListCommand(context);
      })
    );
  withOutput(
    store.command("verify").summary("Check every stored byte against its hash.").description(
      "Check every stored byte against its hash. Damaged files are removed, and cut, packed or fetched again when they are needed.",
    ),
  ).action((_options, command) =>
    start(command.optsWithGlobals(), async (context) => {
      await (await import("./store.ts")).storeVerifyCommand(context);
    })
  );
  withOutput(store.command("remove <model>").description("Remove a model and free its space."))
    .action((model, _options, command) =>
      start(command.optsWithGlobals(), async (context) => {
        await (await import("./store.ts")).storeRemoveCommand(model, context);
      })
    );

  const token = withOutput(
    program.command("token").description("Make the secret that lets devices join a ring."),
  ).allowExcessArguments()
    .action((_options, command) => command.error(strayWord(command, command.args[0])));
  withOutput(
    token.command("new")
      .description("Make a token, keep it on this device, and print it for the others.")
      .option("--force", "replace the token that this device has"),
  ).action((_options, command) => {
    const options = command.optsWithGlobals();
    return start(options, async (context) => {
      const { tokenNewCommand } = await import("./token.ts");
      await tokenNewCommand(options, context);
    });
  });
  const whole = program as unknown as Command;
  addSetupCommands(whole, start);
  addExamples(whole);
  return whole;
}

/** Shows each command's examples below its help. */
function addExamples(command: Command, above: readonly string[] = []): void {
  const path = [...above, command.name()];
  command.addHelpText("after", examplesText(path.join(" ")));
  for (const each of command.commands) addExamples(each as Command, path);
}

/** Runs a node in its role, the one of the three that is given. */
async function runNode(options: RootOptions, context: CommandContext): Promise<void> {
  if (options.secondary) {
    noteStarterFlags(options, context.output);
    await (await import("./secondary.ts")).secondaryCommand(options, context);
  } else if (options.demo) {
    await (await import("./demo.ts")).demoCommand(options, context);
  } else {
    await (await import("./starter.ts")).starterCommand(options, context);
  }
}

function noteStarterFlags(options: RootOptions, output: Output): void {
  const flags = flagNames({ ...options }, NODE_FLAGS);
  if (flags.length === 0) return;
  output.log(`${flags.join(", ")}: the starter's to say, without effect on a secondary`);
}

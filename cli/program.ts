/** All commands and their flags. */
import { Command, Option } from "@commander-js/extra-typings";
import { VERSION } from "../rpc/version.ts";
import { byteCount, decimalNumber, repeated, seedNumber, wholeNumber } from "./args.ts";
import { inspectCommand } from "./inspect.ts";
import type { Output } from "./output.ts";
import { pullCommand } from "./pull.ts";
import { secondaryCommand } from "./secondary.ts";
import { starterCommand } from "./starter.ts";
import { storeListCommand, storeRemoveCommand, storeVerifyCommand } from "./store.ts";
import { tokenNewCommand } from "./token.ts";

const EXAMPLES = `
Examples:
  mdi --starter                                   chat with the default model on this device alone
  mdi --secondary                                 on each other device: wait for a starter
  mdi --starter --peers pi-a,pi-b                 load the model over three devices and chat
  mdi --starter --peers pi-a,pi-b --prompt "Once upon a time" --samples 3 --tokens 200
  mdi token new                                   make the token that lets devices join (once a ring)

Exit status:
  0 ok, 2 wrong usage, 3 model, 4 peer lost or unreachable, 5 refused (token, version, busy),
  6 memory or disk, 130 and 143 ended by a signal
`;

/** What every command is given. */
export interface CommandContext {
  output: Output;
  /** Aborts when the process is told to end. */
  signal: AbortSignal;
  /** Told that the user pressed Ctrl-C; returns whether the command takes care of it. */
  onInterrupt(handler: (() => boolean) | undefined): void;
}

/** Starts the chosen command. */
export type Start = (
  options: { json?: boolean; quiet?: boolean; log?: string },
  run: (context: CommandContext) => Promise<void>,
) => Promise<void>;

/** Builds the command line. */
export function createProgram(start: Start): Command {
  const program = new Command("mdi")
    .description("Runs one language model on several small computers.")
    .version(VERSION, "--version", "print the version")
    .helpOption("-h, --help", "print this help")
    .addHelpText("after", EXAMPLES)
    .showSuggestionAfterError()
    .showHelpAfterError("(mdi --help tells what there is)")
    .exitOverride()
    .enablePositionalOptions();

  const root = program
    .option("--starter", "be the starter: hold the model, the prompts and the first layers")
    .option("--secondary", "be a secondary: hold layers for whoever starts a ring")
    .optionsGroup("Ring:")
    .option("--peers <hosts>", "the secondaries in the ring's order, HOST[:PORT],...")
    .option("--advertise <host:port>", "how the last secondary reaches this device")
    .option("--layers <counts>", "layers of each node, the starter first, like 12,9,9")
    .addOption(
      new Option("--wire <form>", "hidden states on the wire; f16 halves the bytes and rounds")
        .choices(["f32", "f16"]),
    )
    .option("--slots <n>", "samples in the ring at once", wholeNumber(1, 512))
    .optionsGroup("Model:")
    .option(
      "--model <name|path>",
      "GGUF file, safetensors or ONNX directory, or owner/name[:file] on the hub",
    )
    .addOption(
      new Option("--dtype <dtype>", "which file of an ONNX export").choices([
        "fp32",
        "fp16",
        "q8",
        "q4",
        "q4f16",
      ]),
    )
    .option("--tokenizer <dir>", "directory of the tokenizer files, where the model has none")
    .option("--context <n>", "positions that a prompt and its answer may have", wholeNumber(1))
    .optionsGroup("Prompts (without any: chat on a terminal):")
    .option(
      "--prompt <text>",
      'text to continue; "-" for standard input, @FILE for a file; repeatable',
      repeated,
    )
    .option("--chat <text>", "one message under the model's chat template; repeatable", repeated)
    .option("--prompt-ids <ids>", "token ids as they are, like 1,2,3; repeatable", repeated)
    .option("--system <text>", "what the chat's system message says")
    .option("--samples <n>", "how many of each prompt", wholeNumber(1, 4096))
    .option(
      "--tokens <n>",
      "tokens to generate at most (default: 256)",
      wholeNumber(1, 2 ** 31 - 1),
    )
    .option("--stop <text>", "text that ends a sample; repeatable", repeated)
    .option("--ignore-eos", "go on after the model's end token")
    .optionsGroup("Sampling (default: the model's own, else temperature 0.7, top-p 0.95):")
    .option("--greedy", "always the most probable token")
    .option("--temperature <t>", "0 is greedy", decimalNumber(0, 1e4))
    .option(
      "--top-k <k>",
      "keep the k most probable tokens; 0 keeps all",
      wholeNumber(0, 2 ** 31 - 1),
    )
    .option("--top-p <p>", "keep the most probable tokens with this mass", decimalNumber(0, 1))
    .option(
      "--min-p <p>",
      "keep tokens with this share of the best one's probability",
      decimalNumber(0, 1),
    )
    .option("--repetition-penalty <r>", "above 1: repeat less", decimalNumber(1e-4, 1e4))
    .option("--seed <n>", "makes a run repeatable", seedNumber)
    .optionsGroup("This node:")
    .option(
      "--listen <host:port>",
      "address to listen on (default port: 9470; port 0: any free one)",
    )
    .option("--name <name>", "how messages name this node (default: the host's name)")
    .option(
      "--token <token>",
      "the ring's token (default: $MDI_TOKEN, else the file $MDI_HOME/token)",
    )
    .addOption(new Option("--backend <name>", "what computes").choices(["auto", "ort"]))
    .option("--memory <bytes>", "memory this process may use, like 2GB", byteCount)
    .option("--store-limit <bytes>", "disk that models may take, like 20GB", byteCount)
    .optionsGroup("Output:")
    .option("--json", "one JSON object a line on standard output")
    .addOption(
      new Option("--log <form>", "form of the log on standard error").choices(["text", "json"]),
    )
    .option("--quiet", "results and errors only");
  root.action((options, command) => {
    if (command.args.length > 0) command.error(`error: unknown command '${command.args[0]}'`);
    if (options.starter && options.secondary) {
      command.error("error: a node is either --starter or --secondary, not both");
    }
    if (!options.starter && !options.secondary) return command.help();
    return start(
      options,
      (context) =>
        options.secondary ? secondaryCommand(options, context) : starterCommand(options, context),
    );
  });

  program.command("pull [model]")
    .description("Fetch a model by name, so that later starts need no network.")
    .option("--dtype <dtype>", "which file of an ONNX export")
    .option("--store-limit <bytes>", "disk that models may take, like 20GB", byteCount)
    .option("--json", "one JSON object a line on standard output")
    .option("--quiet", "results and errors only")
    .action((model, options) => start(options, (context) => pullCommand(model, options, context)));

  program.command("inspect [model]")
    .description("Show a model's architecture, layers, dtypes, parameters and block sizes.")
    .option("--dtype <dtype>", "which file of an ONNX export")
    .option("--tokenizer <dir>", "directory of the tokenizer files, where the model has none")
    .option("--json", "one JSON object on standard output")
    .option("--quiet", "results and errors only")
    .action((model, options) =>
      start(options, (context) => inspectCommand(model, options, context))
    );

  const store = program.command("store").description(
    "Show, check and free what is stored on this device.",
  );
  const json = "one JSON object on standard output";
  store.command("list").description("List the stored models.").option("--json", json)
    .action((options) => start(options, (context) => storeListCommand(context)));
  store.command("verify").description("Check every stored byte against its hash.").option(
    "--json",
    json,
  )
    .action((options) => start(options, (context) => storeVerifyCommand(context)));
  store.command("remove <model>").description("Remove a model and free its space.").option(
    "--json",
    json,
  )
    .action((model, options) => start(options, (context) => storeRemoveCommand(model, context)));

  const token = program.command("token").description("The secret that lets devices join a ring.");
  token.command("new")
    .description("Make a token, keep it on this device, and print it for the others.")
    .option("--force", "replace the token that this device has")
    .option("--json", json)
    .action((options) => start(options, (context) => tokenNewCommand(options, context)));
  return program as unknown as Command;
}

/** What the root command's flags come to. */
export interface RootOptions {
  starter?: true;
  secondary?: true;
  peers?: string;
  advertise?: string;
  layers?: string;
  wire?: "f32" | "f16";
  slots?: number;
  model?: string;
  dtype?: string;
  tokenizer?: string;
  context?: number;
  prompt?: string[];
  chat?: string[];
  promptIds?: string[];
  system?: string;
  samples?: number;
  tokens?: number;
  stop?: string[];
  ignoreEos?: true;
  greedy?: true;
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  seed?: bigint;
  listen?: string;
  name?: string;
  token?: string;
  backend?: "auto" | "ort";
  memory?: number;
  storeLimit?: number;
  json?: true;
  log?: "text" | "json";
  quiet?: true;
}

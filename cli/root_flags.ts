/** The flags of `mdi` without a command: those of a node, a ring and its prompts. */
import { type Command, Option } from "@commander-js/extra-typings";
import type { Pace } from "../wasm/pace.ts";
import { MAX_THREADS } from "../wasm/stage.ts";
import { parseAddress, parseListen, parsePeers } from "../rpc/address.ts";
import {
  byteCount,
  decimalNumber,
  layerCounts,
  paceFile,
  readableBy,
  repeated,
  seedNumber,
  wholeNumber,
} from "./args.ts";
import type { LogLevel } from "./output.ts";
import { logLevelOption } from "./output_flags.ts";
import { typedModel, typedPath } from "./typed_path.ts";

/** Which file of an ONNX export. */
export const DTYPES = ["fp32", "fp16", "q8", "q4", "q4f16"] as const;

/** What --tokenizer is for. */
export const TOKENIZER_TEXT = "directory of the tokenizer files, where the model has none";

/** Adds them. */
export function addRootFlags(program: Command) {
  return program
    .option("--starter", "be the starter: hold the model, the prompts and the first layers")
    .option("--secondary", "be a secondary: hold layers for whoever starts a ring")
    .option("--demo", "be a starter with two secondaries on this device, and show what they do")
    .optionsGroup("Ring:")
    .option(
      "--peers <hosts>",
      "the secondaries, HOST[:PORT],...; with --layers in the ring's order",
      readableBy((text) => text === "" || parsePeers(text)),
    )
    .option(
      "--advertise <host:port>",
      "how the last secondary reaches this device",
      readableBy(parseAddress),
    )
    .option(
      "--layers <counts>",
      'layers of each node, the starter first, like 12,9,9; or "even" (default: the fastest plan)',
      layerCounts,
    )
    .addOption(
      new Option("--wire <form>", "hidden states on the wire; f16 halves the bytes and rounds")
        .choices(["f32", "f16"]),
    )
    .addOption(
      new Option(
        "--kv <type>",
        "type of the KV caches; f16 halves, int8 quarters their memory, and both round",
      )
        .choices(["f32", "f16", "int8"]),
    )
    .option("--slots <n>", "samples in the ring at once", wholeNumber(1, 512))
    .optionsGroup("Model:")
    .option(
      "--model <name|path>",
      "GGUF file, safetensors or ONNX directory, or owner/name[:file] on the hub",
      (text) => typedModel(text),
    )
    .addOption(
      new Option("--dtype <dtype>", "which file of an ONNX export").choices(DTYPES),
    )
    .option("--tokenizer <dir>", TOKENIZER_TEXT, (text) => typedPath(text))
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
      readableBy(parseListen),
    )
    .option("--name <name>", "how messages name this node (default: the host's name)")
    .option(
      "--token <token>",
      "the ring's token (default: $MDI_TOKEN, else the file $MDI_HOME/token)",
    )
    .addOption(
      new Option("--backend <name>", "what computes; auto: simd where it can, else ort")
        .choices(["auto", "simd", "ort"]),
    )
    .option(
      "--threads <n>",
      "threads that compute (default: the cores, or the processors where Deno may not see cores; ort has one)",
      wholeNumber(1, MAX_THREADS),
    )
    .option(
      "--pace <file>",
      'stand for a slower device: ms in JSON, like {"layer":20,"embed":0.1,"head":5}; to try plans on one machine',
      paceFile,
    )
    .option("--memory <bytes>", "memory this process may use, like 2GB", byteCount)
    .option("--store-limit <bytes>", "disk that models may take, like 20GB", byteCount)
    .option("--end-with-stdin", "a secondary: end when standard input does, with what started it")
    .optionsGroup("Output:")
    .option("--json", "one JSON object a line on standard output")
    .addOption(
      new Option("--log <form>", "form of the log on standard error").choices(["text", "json"]),
    )
    .addOption(logLevelOption())
    .option("--quiet", "results and errors only")
    .option(
      "--trace <file>",
      "write what every node did and when; opens in https://ui.perfetto.dev",
      (text) => typedPath(text),
    );
}

/** What the root command's flags come to. */
export interface RootOptions {
  starter?: true;
  secondary?: true;
  demo?: true;
  peers?: string;
  advertise?: string;
  layers?: string;
  wire?: "f32" | "f16";
  kv?: "f32" | "f16" | "int8";
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
  backend?: "auto" | "simd" | "ort";
  threads?: number;
  pace?: Pace;
  memory?: number;
  storeLimit?: number;
  endWithStdin?: true;
  json?: true;
  log?: "text" | "json";
  logLevel?: LogLevel;
  quiet?: true;
  trace?: string;
}

/** The flags of `mdi plan`: devices from a file, or those that are there. */
import { type Command, Option } from "@commander-js/extra-typings";
import { MAX_THREADS } from "../wasm/stage.ts";
import { parseAddress, parseListen, parsePeers } from "../rpc/address.ts";
import { byteCount, paceFile, readableBy, wholeNumber } from "./args.ts";
import { DTYPES, TOKENIZER_TEXT } from "./root_flags.ts";
import { typedModel, typedPath } from "./typed_path.ts";

/** Adds them. */
export function addPlanFlags(command: Command) {
  return command
    .optionsGroup("Devices, in a file or there:")
    .option("--what-if <file>", "devices and links from a JSON file", (text) => typedPath(text))
    .option(
      "--peers <hosts>",
      "this device and the secondaries there, HOST[:PORT],...",
      readableBy((text) => text === "" || parsePeers(text)),
    )
    .option("--measure", "measure them now, whatever they measured before")
    .optionsGroup("Samples:")
    .option("--samples <n>", "samples in the ring at once", wholeNumber(1, 512))
    .option("--context <n>", "tokens that each sample needs room for", wholeNumber(1))
    .option("--latency", "plan for one sample's next token instead of all samples together")
    .optionsGroup("With --peers, as of the starter:")
    .option(
      "--model <name|path>",
      "what is to be run (default: the default model)",
      (text) => typedModel(text),
    )
    .addOption(new Option("--dtype <dtype>", "which file of an ONNX export").choices(DTYPES))
    .option("--tokenizer <dir>", TOKENIZER_TEXT, (text) => typedPath(text))
    .addOption(new Option("--wire <form>", "hidden states on the wire").choices(["f32", "f16"]))
    .addOption(
      new Option("--kv <type>", "type of the KV caches").choices(["f32", "f16", "int8"]),
    )
    .option(
      "--advertise <host:port>",
      "how the secondaries reach this device",
      readableBy(parseAddress),
    )
    .option("--listen <host:port>", "address to listen on", readableBy(parseListen))
    .option("--name <name>", "how messages name this node (default: the host's name)")
    .option("--token <token>", "the ring's token (default: $MDI_TOKEN, else $MDI_HOME/token)")
    .addOption(
      new Option("--backend <name>", "what computes").choices(["auto", "simd", "ort"]),
    )
    .option(
      "--threads <n>",
      "threads that compute (default: the cores)",
      wholeNumber(1, MAX_THREADS),
    )
    .option("--pace <file>", "stand for a slower device", paceFile)
    .option("--memory <bytes>", "memory this process may use, like 2GB", byteCount)
    .option("--store-limit <bytes>", "disk that models may take, like 20GB", byteCount);
}

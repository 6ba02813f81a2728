/** The flags of `mdi verify`: those of a starter that tell which devices and how they compute. */
import { type Command, Option } from "@commander-js/extra-typings";
import { parseAddress, parseListen, parsePeers } from "../../rpc/address.ts";
import { MAX_THREADS } from "../../wasm/stage.ts";
import { byteCount, layerCounts, readableBy, wholeNumber } from "../args.ts";

/** Adds them. */
export function addVerifyFlags(command: Command) {
  return command
    .option(
      "--peers <hosts>",
      "secondaries to verify with this device, HOST[:PORT],...",
      readableBy((text) => text === "" || parsePeers(text)),
    )
    .option(
      "--layers <counts>",
      'layers of each node, this one first, like 12,9,9; or "even" (default: even)',
      layerCounts,
    )
    .option(
      "--advertise <host:port>",
      "how the last secondary reaches this device",
      readableBy(parseAddress),
    )
    .option("--listen <host:port>", "address to listen on", readableBy(parseListen))
    .option("--name <name>", "how messages name this node (default: the host's name)")
    .option("--token <token>", "the ring's token (default: $MDI_TOKEN, else $MDI_HOME/token)")
    .addOption(new Option("--backend <name>", "what computes").choices(["auto", "simd", "ort"]))
    .option(
      "--threads <n>",
      "threads that compute (default: the cores)",
      wholeNumber(1, MAX_THREADS),
    )
    .option("--memory <bytes>", "memory this process may use, like 2GB", byteCount)
    .option("--store-limit <bytes>", "disk that models may take, like 20GB", byteCount);
}

/** The flags of `mdi doctor`. */
import type { Command } from "@commander-js/extra-typings";
import { parseListen, parsePeers } from "../../rpc/address.ts";
import { readableBy } from "../args.ts";

/** Adds them. */
export function addDoctorFlags(command: Command) {
  return command
    .option(
      "--peers <hosts>",
      "the secondaries, HOST[:PORT],...",
      readableBy((text) => text === "" || parsePeers(text)),
    )
    .option("--listen <host:port>", "address that is to be listened on", readableBy(parseListen))
    .option("--token <token>", "the ring's token (default: $MDI_TOKEN, else $MDI_HOME/token)");
}

/** The flags of `mdi service`: the unit's own, and a secondary's that go into it. */
import { type Command, Option } from "@commander-js/extra-typings";
import { parseListen } from "../../rpc/address.ts";
import { MAX_THREADS } from "../../wasm/stage.ts";
import { byteCount, paceFile, readableBy, wholeNumber } from "../args.ts";
import { typedPath } from "../typed_path.ts";

/** Adds those that say where the unit lies. */
export function addPlaceFlags(command: Command) {
  return command
    .option("--system", "a unit of the whole device instead of your own; needs root")
    .option(
      "--dir <dir>",
      "where units lie (default: ~/.config/systemd/user; with --system /etc/systemd/system)",
      (text) => typedPath(text),
    );
}

/** Adds all of them. */
export function addServiceFlags(command: Command) {
  return addPlaceFlags(command)
    .option("--user <name>", "with --system: whom it runs as (default: a user of its own)")
    .option(
      "--home <dir>",
      "the node's directory (default: systemd's state directory)",
      (text) => typedPath(text),
    )
    .optionsGroup("The node, as for mdi --secondary:")
    .option("--listen <host:port>", "address to listen on", readableBy(parseListen))
    .option("--name <name>", "how messages name this node (default: the host's name)")
    .addOption(new Option("--backend <name>", "what computes").choices(["auto", "simd", "ort"]))
    .option("--threads <n>", "threads that compute", wholeNumber(1, MAX_THREADS))
    .option("--pace <file>", "stand for a slower device", (text) => {
      const path = typedPath(text);
      paceFile(path);
      return path;
    })
    .option("--memory <bytes>", "memory it may use, like 2GB; also the unit's limit", byteCount)
    .option("--store-limit <bytes>", "disk that models may take, like 20GB", byteCount)
    .optionsGroup("Output:");
}

/** What the flags of a place come to. */
export interface PlaceOptions {
  system?: true | undefined;
  dir?: string | undefined;
}

/** What all of them come to. */
export interface ServiceOptions extends PlaceOptions {
  user?: string | undefined;
  home?: string | undefined;
  listen?: string | undefined;
  name?: string | undefined;
  backend?: string | undefined;
  threads?: number | undefined;
  pace?: string | undefined;
  memory?: number | undefined;
  storeLimit?: number | undefined;
  log?: string | undefined;
  logLevel?: string | undefined;
}

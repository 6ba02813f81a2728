/** What a ring is made from: optional at the edge, resolved inside. */
import { hostname } from "node:os";
import { MdiError } from "../wasm/error.ts";
import { type Pace, readPace } from "../wasm/pace.ts";
import { type Backend, MAX_THREADS } from "../wasm/stage.ts";
import { defaultThreads } from "../wasm/threads.ts";
import { defaultHome } from "../engine/store/layout.ts";
import { type Address, DEFAULT_PORT, parseListen, parsePeers, requireDistinct } from "./address.ts";
import { MAX_NODES } from "./configuration.ts";
import { deriveIdentity, nodeName, type RingIdentity } from "./identity.ts";
import { requireTypes } from "./option_types.ts";
import { findToken } from "./token.ts";

/** What happens while a ring or a node starts and runs; for people and logs. */
export interface RingEvent {
  /** What it is about. */
  type: "pull" | "import" | "fetch" | "load" | "measure" | "note" | "plan";
  /** Which node, where it is one's own business. */
  node?: string;
  /** One line for people. */
  message: string;
  /** Bytes, blocks or ms done, where it takes time. */
  done?: number;
  /** Bytes, blocks or ms in all; 0 where unknown. */
  total?: number;
}

/** What every node of a ring may be told. */
export interface NodeOptions {
  /**
   * Where to listen, HOST:PORT. Port 0 lets the system choose.
   *
   * @default {"0.0.0.0:9470" with a token, "127.0.0.1:9470" without}
   */
  listen?: string;
  /**
   * How messages name this node.
   *
   * @default {the host's name}
   */
  name?: string;
  /** The ring's token; else `$MDI_TOKEN`, else the file `token` in the home directory. */
  token?: string;
  /**
   * The store and state directory.
   *
   * @default {$MDI_HOME, else ~/.cache/mdi}
   */
  home?: string;
  /** Bytes that the store may take; no limit where absent. */
  storeLimitBytes?: number;
  /** Bytes of memory that this process may use; what is free where absent. */
  memoryBytes?: number;
  /**
   * What computes: mdi's own kernels ("simd"), ONNX Runtime ("ort"), or the former where they can run the
   * model and else the latter ("auto").
   *
   * @default {"auto"}
   */
  backend?: "auto" | "simd" | "ort";
  /**
   * Threads that compute, 1 to 64; ONNX Runtime has one, whatever is said.
   *
   * @default {the physical cores, or, where the system does not tell, the processors}
   */
  threads?: number;
  /**
   * A slower device to stand for: this node answers no sooner than that one would. For trying out plans on
   * one machine.
   */
  pace?: Pace;
  /** Told what takes time and what a person should know. */
  onEvent?: (event: RingEvent) => void;
  /** Ends the start and the node. */
  signal?: AbortSignal;
}

/** What {@linkcode NodeOptions} came to: nothing optional, everything checked. */
export interface ResolvedNode {
  listen: Address;
  /** Whether the user chose the address. */
  listenGiven: boolean;
  name: string;
  identity: RingIdentity | undefined;
  home: string;
  storeLimitBytes: number | null;
  memoryBytes: number | null;
  backend: Backend;
  threads: number;
  pace: Pace | null;
  onEvent: (event: RingEvent) => void;
}

/**
 * Resolves a node's options.
 * @throws {TypeError | RangeError} where one is not what it must be.
 * @throws {MdiError} refused_token, model_unsupported
 */
export async function resolveNode(options: NodeOptions): Promise<ResolvedNode> {
  require64Bit();
  requireTypes(options, {
    listen: "text",
    name: "text",
    token: "text",
    home: "path",
    storeLimitBytes: "number",
    memoryBytes: "number",
    threads: "number",
    onEvent: "function",
  });
  const { backend = "auto", memoryBytes = null, storeLimitBytes = null } = options;
  if (backend !== "auto" && backend !== "simd" && backend !== "ort") {
    throw new RangeError(
      `Cannot compute with backend "${String(backend)}": there are "auto", "simd" and "ort"`,
    );
  }
  const threads = options.threads ?? (backend === "ort" ? 1 : defaultThreads());
  if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS) {
    throw new RangeError(
      `Cannot compute with ${threads} threads: give a whole number from 1 to ${MAX_THREADS}`,
    );
  }
  if (memoryBytes !== null && !(memoryBytes >= 64e6)) {
    throw new RangeError(
      `Cannot use a memory limit of ${memoryBytes} bytes: it must be at least 64 MB`,
    );
  }
  const home = options.home ?? defaultHome();
  const found = await findToken({ flag: options.token, env: Deno.env, homeDir: home });
  const name = nodeName(options.name ?? hostname());
  const identity = found ? await deriveIdentity(found.token, name) : undefined;
  const listen = options.listen === undefined
    ? { host: identity ? "0.0.0.0" : "127.0.0.1", port: DEFAULT_PORT }
    : parseListen(options.listen);
  return {
    listen,
    listenGiven: options.listen !== undefined,
    name,
    identity,
    home,
    storeLimitBytes,
    memoryBytes,
    backend,
    threads,
    pace: options.pace === undefined ? null : readPace(options.pace),
    onEvent: options.onEvent ?? (() => {}),
  };
}

/**
 * Reads peers, and refuses the node itself among them. A starter that was not told where to listen takes
 * any port, so a peer at the default one is another program on this device.
 */
export function resolvePeers(
  peers: string | readonly string[] | undefined,
  { listen, listenGiven }: Pick<ResolvedNode, "listen" | "listenGiven">,
): Address[] {
  if (peers === undefined || peers.length === 0) return [];
  const addresses = parsePeers(typeof peers === "string" ? peers : peers.join(","));
  requireDistinct(addresses, listenGiven && listen.port !== 0 ? listen : undefined);
  if (addresses.length >= MAX_NODES) {
    throw new RangeError(
      `Cannot make a ring of ${addresses.length + 1} nodes: at most ${MAX_NODES}`,
    );
  }
  return addresses;
}

/** WebAssembly's threads and 4 GB memories, and Deno itself, need a 64-bit system. */
function require64Bit(): void {
  if (Deno.build.arch === "x86_64" || Deno.build.arch === "aarch64") return;
  throw new MdiError(
    "model_unsupported",
    `Cannot run on ${Deno.build.arch}: mdi needs a 64-bit system; on a Raspberry Pi install the 64-bit Raspberry Pi OS`,
  );
}

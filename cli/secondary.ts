/** `mdi --secondary`: hold layers for whoever starts a ring. */
import { hostname } from "node:os";
import { DEFAULT_PORT, parseListen } from "../rpc/address.ts";
import { serveNode } from "../rpc/serve_node.ts";
import { nodeOptions } from "./node_options.ts";
import type { CommandContext, RootOptions } from "./program.ts";

/** Runs until the process is told to end. */
export async function secondaryCommand(
  options: RootOptions,
  context: CommandContext,
): Promise<void> {
  const { output, signal } = context;
  await using node = await serveNode({
    ...nodeOptions(options),
    signal,
    onLog: (message, fields) =>
      fields?.event === "failed" ? output.warn(message, fields) : output.log(message, fields),
  });
  output.record({ type: "ready", address: node.address, name: node.name });
  output.log(
    `${node.name} listens on ${node.address}; start the ring with: mdi --starter --peers ${
      peerOf(node.address)
    }`,
    { event: "listening", address: node.address },
  );
  if (!node.secure) {
    output.warn(
      "Without a token it can be reached from this device only; for other devices give it the ring's token, " +
        'which ONE device makes with "mdi token new"',
    );
  }
  const told = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await Promise.race([told, ...(options.endWithStdin ? [inputEnds()] : [])]);
}

/** What another device calls the address: the host's name where every address of it is listened on. */
function peerOf(address: string): string {
  const { host, port } = parseListen(address);
  if (host !== "0.0.0.0" && host !== "::") return address;
  return port === DEFAULT_PORT ? hostname() : `${hostname()}:${port}`;
}

/** Settles when whoever holds the other end of standard input closes it or is gone. */
async function inputEnds(): Promise<void> {
  for await (const _ of Deno.stdin.readable);
}

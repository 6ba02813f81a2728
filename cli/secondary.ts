/** `mdi --secondary`: hold layers for whoever starts a ring. */
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
    onLog: (message, fields) => output.log(`${message}`, fields),
  });
  output.record({ type: "ready", address: node.address, name: node.name });
  output.log(
    `${node.name} listens on ${node.address}; start the ring with: mdi --starter --peers ${node.address}`,
    {
      event: "listening",
      address: node.address,
    },
  );
  if (!node.secure) {
    output.log(
      "without a token it is reachable from this device only; for other devices: mdi token new",
    );
  }
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** `mdi verify`: the default model's greedy tokens on this device, and on a ring, against the golden ones. */
import { openRing, type RingOptions } from "../rpc/open_ring.ts";
import { compareTokens, type PromptTokens } from "./verify/compare.ts";
import { GOLDEN } from "./verify/golden.ts";
import {
  adviceText,
  inexactNodes,
  resultText,
  verdictText,
  type VerifiedRing,
} from "./verify/text.ts";
import { showEvents } from "./events.ts";
import { nodeOptions } from "./node_options.ts";
import type { CommandContext, RootOptions } from "./program.ts";

/** More tokens than any prompt and its answer have. */
const CONTEXT = 256;

/** Its flags, which are a starter's. */
export type VerifyOptions = Pick<
  RootOptions,
  | ("peers" | "layers" | "advertise")
  | ("listen" | "name" | "token" | "backend" | "threads" | "memory" | "storeLimit")
>;

/** Runs the golden prompts on this device alone, then on the ring; all of a ring's at once. */
export async function verifyCommand(
  options: VerifyOptions,
  context: CommandContext,
): Promise<void> {
  const { output } = context;
  const peers = options.peers ? options.peers.split(",").map((peer) => peer.trim()) : [];
  if (peers.length === 0 && options.layers !== undefined) {
    throw new RangeError(
      "Cannot use --layers without --peers: one node has them all; leave it out, or give --peers",
    );
  }
  const rings: VerifiedRing[] = [];
  for (const secondaries of peers.length === 0 ? [[]] : [[], peers]) {
    const ring = await verifyRing(secondaries, options, context);
    rings.push(ring);
    output.record(recordOfRing(ring));
    output.text(`${resultText(ring)}\n`);
    if (ring.comparison.differences.length === 0) continue;
    context.checkFailed();
    output.text(`what to do: ${adviceText(ring)}\n`);
    break; // a ring with this device is not to be right where the device itself is not
  }
  output.text(`${verdictText(rings, GOLDEN.file)}\n`);
}

async function verifyRing(
  peers: readonly string[],
  options: VerifyOptions,
  { output, signal }: CommandContext,
): Promise<VerifiedRing> {
  using events = showEvents(output);
  const { advertise, layers } = options;
  const ringOptions: RingOptions = {
    ...nodeOptions(options),
    ...(advertise !== undefined && { advertise }),
    // A plan may leave nodes out; all of them are to be verified.
    ...(peers.length > 0 && { peers, layers: layers ?? "even" }),
    samples: GOLDEN.prompts.length,
    context: CONTEXT,
    signal,
    onEvent: events.show,
  };
  await using ring = await openRing(ringOptions);
  const results = await Promise.all(GOLDEN.prompts.map(async (golden): Promise<PromptTokens> => {
    const generation = ring.generate(golden.prompt, {
      ...{ greedy: true, ignoreEos: true, maxTokens: golden.ids.length },
      signal,
    });
    const { ids } = await generation.result;
    return { promptIds: ring.encode(golden.prompt), ids };
  }));
  signal.throwIfAborted();
  const { nodes, deviations } = await ring.summary();
  const exact = inexactNodes(nodes).length === 0;
  return {
    nodes,
    peers,
    layers: ring.manifest.config.layers,
    comparison: compareTokens(GOLDEN.prompts, results, exact),
    deviations,
  };
}

function recordOfRing({ nodes, comparison, deviations }: VerifiedRing): Record<string, unknown> {
  const { tokens, equal, differences, unclear } = comparison;
  return {
    type: "verification",
    nodes: nodes.map(({ name, backend, backendReason }) => ({
      name,
      backend,
      backend_reason: backendReason,
    })),
    tokens,
    equal,
    differences,
    unclear,
    deviations,
  };
}

/**
 * Streams the continuation of a text to the terminal.
 *
 *     deno run --allow-net --allow-read --allow-write --allow-env --allow-sys \
 *       examples/generator.ts "Once upon a time" --peers pi-a,pi-b
 *
 * `--model` takes what `mdi --starter --model` takes. Without `--peers` this device is the whole ring. The token
 * that peers ask for is found where mdi finds it: in `$MDI_TOKEN`, or where `mdi token new` put it.
 *
 * Network: peers, and the hub where the model is not on this device yet (pip instead of it needs
 * `--allow-run=pip,pip3,python3`). Read, write: the model and the store. Env, sys: where the store is, the host's
 * name, free memory and disk.
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { parseArgs } from "node:util";
import { MdiError, openRing } from "../mod.ts"; // once published: "@mdi/mdi"

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string" },
    peers: { type: "string", default: "" },
    tokens: { type: "string", default: "128" },
  },
});
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

try {
  await using ring = await openRing({
    ...(values.model !== undefined && { model: values.model }),
    peers: values.peers,
    samples: 1, // plan for the shortest time between tokens
    signal: stop.signal,
    onEvent: ({ message, done }) => done === undefined && console.error(message), // no progress
  });
  const generation = ring.generate(positionals[0] ?? "Once upon a time", {
    maxTokens: Number(values.tokens),
    signal: stop.signal,
  });
  const encoder = new TextEncoder();
  const writer = Deno.stdout.writable.getWriter();
  for await (const { text } of generation) await writer.write(encoder.encode(text));
  await writer.write(encoder.encode("\n"));
  const { ids, finishReason } = await generation.result;
  console.error(`${ids.length} tokens, ended by ${finishReason}`);
} catch (error) {
  // An operational failure says what to do; anything else is a defect and deserves its stack.
  if (!(error instanceof MdiError)) throw error;
  const stopped = stop.signal.aborted;
  console.error(stopped ? "\nStopped" : `${error.code}: ${error.message}`);
  Deno.exitCode = stopped ? 130 : 1;
}

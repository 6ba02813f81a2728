/**
 * Answers a file of prompts: JSON lines `{"prompt": "…"}` in, JSON lines with the answers out, in the same order.
 *
 *     deno run --allow-net --allow-read --allow-write --allow-env --allow-sys \
 *       examples/batch.ts prompts.jsonl answers.jsonl --peers pi-a,pi-b
 *
 * As many samples are under way as the ring has slots, and as many again wait for one, so that no slot stays empty.
 * Ctrl-C, a lost peer or a power cut loses only what was not answered yet: the same command goes on behind the last
 * whole line of the answers. A prompt that cannot be answered gets a line with the error instead.
 *
 * Permissions as for `generator.ts`; read and write are also for the two files.
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { parseArgs } from "node:util";
import { MdiError, openRing, type Ring } from "../mod.ts"; // once published: "@mdi/mdi"

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string" },
    peers: { type: "string", default: "" },
    slots: { type: "string", default: "8" },
    tokens: { type: "string", default: "256" },
    seed: { type: "string", default: "0" },
  },
});
const [input, output] = positionals;
if (input === undefined || output === undefined) throw new TypeError("Give two files: IN OUT");
const slots = Number(values.slots);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

/** Answers one line; the seed and the line's number decide its random numbers, so a resumed run is the same run. */
async function answer(ring: Ring, line: string, number: number): Promise<Record<string, unknown>> {
  try {
    const { prompt } = JSON.parse(line);
    if (typeof prompt !== "string") throw new RangeError('there is no text "prompt" in the line');
    const { text, ids, finishReason } = await ring.generate(prompt, {
      maxTokens: Number(values.tokens),
      seed: Number(values.seed),
      stream: number,
      signal: stop.signal,
    }).result;
    if (finishReason === "cancel") stop.signal.throwIfAborted();
    return { prompt, text, tokens: ids.length, finish_reason: finishReason };
  } catch (error) {
    const skipped = error instanceof SyntaxError || error instanceof RangeError ||
      error instanceof MdiError && error.code === "context_exceeded";
    if (!skipped) throw error;
    return { line: number, error: error.message };
  }
}

/** Runs `start` on up to `limit` items at once and gives the results in the items' order. */
async function* inOrder<T, R>(items: readonly T[], limit: number, start: (item: T) => Promise<R>) {
  const running: Promise<R>[] = [];
  for (const item of items) {
    if (running.length === limit) yield await running.shift()!;
    const result = start(item);
    result.catch(() => {}); // it is thrown when its turn comes
    running.push(result);
  }
  for (const result of running) yield await result;
}

const lines = (await Deno.readTextFile(input)).split("\n").filter((line) => line.trim() !== "")
  .map((line, number) => ({ line, number }));

// What an earlier run wrote counts up to its last line end: a line without one was cut off.
using file = await Deno.open(output, { read: true, write: true, create: true });
const written = await Deno.readFile(output);
const end = written.lastIndexOf(0x0a) + 1;
await file.truncate(end);
await file.seek(end, Deno.SeekMode.Start);
const done = written.subarray(0, end).reduce((count, byte) => count + Number(byte === 0x0a), 0);

try {
  await using ring = await openRing({
    ...(values.model !== undefined && { model: values.model }),
    ...{ peers: values.peers, slots, signal: stop.signal },
  });
  const answers = inOrder(
    lines.slice(done),
    2 * slots,
    ({ line, number }) => answer(ring, line, number),
  );
  const encoder = new TextEncoder();
  for await (const each of answers) file.writeSync(encoder.encode(`${JSON.stringify(each)}\n`));
} catch (error) {
  if (!stop.signal.aborted) throw error;
  console.error("Stopped; the same command goes on from here");
  Deno.exitCode = 130;
}

/** `mdi --starter`: load the model over the ring, then generate or chat. */
import { openRing } from "../rpc/open_ring.ts";
import type { GenerateOptions, Prompt, Ring } from "../rpc/ring.ts";
import { chatLoop } from "./chat.ts";
import { generateAll, type Job } from "./generate.ts";
import { ringOptions } from "./node_options.ts";
import type { Output } from "./output.ts";
import type { CommandContext, RootOptions } from "./program.ts";
import { parseIds, readPrompt } from "./prompts.ts";
import { showEvents } from "./events.ts";
import type { Summary } from "../rpc/summary.ts";
import { summaryRecord, summaryText } from "./summary.ts";
import { openTraceFile, type TraceFile } from "./trace.ts";
import { messageOf } from "../wasm/error.ts";

/** Runs the prompts, or the chat, and shows the figures; returns them where there were prompts. */
export async function starterCommand(
  options: RootOptions,
  context: CommandContext,
): Promise<Summary | undefined> {
  const { output, signal } = context;
  // Prompts are read first: a mistake there should not cost the loading of a model.
  const prompts = await readPrompts(options);
  const interactive = prompts.length === 0;
  if (interactive && (output.options.json || !Deno.stdin.isTerminal())) {
    throw new RangeError(
      `Cannot chat ${
        output.options.json ? "with --json" : "without a terminal"
      }: give --prompt TEXT, or --prompt - to read one from standard input`,
    );
  }
  const jobs = prompts.flatMap((prompt) =>
    Array.from({ length: options.samples ?? 1 }, () => prompt)
  )
    .map((prompt, sample): Job => ({ sample, prompt: prompt.shown, input: prompt.input }));
  // Before the model is loaded, for the same reason.
  await using trace = options.trace === undefined ? null : await openTraceFile(options.trace);
  // A chat is one sample, whose next token is waited for.
  await using ring = await loadRing(options, interactive ? 1 : jobs.length, context);
  return await traced(ring, trace, output, async () => {
    if (interactive) {
      await chatLoop(ring, generateOptions(options), options.system, context);
      return undefined;
    }
    await generateAll(ring, jobs, { ...generateOptions(options), signal }, output);
    const summary = await ring.summary();
    output.record(summaryRecord(summary));
    if (!output.options.quiet) output.text(`${summaryText(summary, output.columns)}\n`);
    signal.throwIfAborted();
    return summary;
  });
}

/** Writes the trace after the run, however that ended: what failed is what one wants to see. */
async function traced<T>(
  ring: Ring,
  trace: TraceFile | null,
  output: Output,
  run: () => Promise<T>,
): Promise<T> {
  if (!trace) return await run();
  let result: T;
  try {
    result = await run();
  } catch (error) {
    await trace.write(await ring.recording())
      .catch((failure) => output.warn(messageOf(failure), { event: "trace" }));
    throw error;
  }
  await trace.write(await ring.recording());
  return result;
}

async function loadRing(
  options: RootOptions,
  samples: number,
  context: CommandContext,
): Promise<Ring> {
  const { output, signal } = context;
  const { layers, trace } = options;
  using events = showEvents(output);
  return await openRing({
    ...ringOptions(options),
    ...(layers !== undefined && { layers }),
    samples,
    ...(trace !== undefined && { trace: true }),
    signal,
    onEvent: events.show,
  });
}

/** A prompt as it is shown and as it goes into the ring. */
interface ReadPrompt {
  /** Its text; null for ids. */
  shown: string | null;
  input: Prompt;
}

async function readPrompts(options: RootOptions): Promise<ReadPrompt[]> {
  const prompts: ReadPrompt[] = [];
  for (const argument of options.prompt ?? []) {
    const text = await readPrompt(argument);
    prompts.push({ shown: text, input: text });
  }
  for (const argument of options.chat ?? []) {
    const content = await readPrompt(argument);
    const system = options.system === undefined
      ? []
      : [{ role: "system", content: options.system }];
    prompts.push({ shown: content, input: [...system, { role: "user", content }] });
  }
  for (const ids of options.promptIds ?? []) prompts.push({ shown: null, input: parseIds(ids) });
  return prompts;
}

function generateOptions(options: RootOptions): GenerateOptions {
  const {
    tokens,
    stop,
    ignoreEos,
    greedy,
    temperature,
    topK,
    topP,
    minP,
    repetitionPenalty,
    seed,
  } = options;
  return {
    ...(tokens !== undefined && { maxTokens: tokens }),
    ...(stop !== undefined && { stop }),
    ...(ignoreEos && { ignoreEos }),
    ...(greedy && { greedy }),
    ...(temperature !== undefined && { temperature }),
    ...(topK !== undefined && { topK }),
    ...(topP !== undefined && { topP }),
    ...(minP !== undefined && { minP }),
    ...(repetitionPenalty !== undefined && { repetitionPenalty }),
    ...(seed !== undefined && { seed }),
  };
}

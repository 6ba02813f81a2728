/**
 * What a secondary does with the ring's messages: compute and pass on. Messages leave in the order they
 * came. A few are handed to the stage ahead of time, so that it never waits for the socket thread; more
 * than that would be a hidden queue behind the credits.
 */
import type { Stage } from "../../wasm/stage.ts";
import { type MessageSender, type RingMessage, wantedRows } from "./message.ts";
import type { SpanRecorder } from "./spans.ts";

/** Messages handed to the stage that have not left yet. */
const AHEAD = 2;

/** What a relay needs. */
export interface RelayOptions {
  stage: Stage;
  /** Width of a hidden row. */
  dModel: number;
  /** Whether the successor is the starter: then only wanted rows are sent. */
  last: boolean;
  /** What comes from the predecessor. */
  input: AsyncIterable<RingMessage>;
  /** The way to the successor. */
  output: MessageSender;
  /** Called for every change of a cache, before it is passed on. */
  onCache?: (sample: number, length: number, capacity: number) => void;
  /** Records what the stage does, where the run is traced. */
  spans?: SpanRecorder | undefined;
}

/**
 * Runs until the input ends. Throws what the stage, the input or the output throws as soon as it does,
 * though the input has nothing more to say.
 */
export async function relay(options: RelayOptions): Promise<void> {
  const messages = options.input[Symbol.asyncIterator]();
  const ended = Promise.withResolvers<void>();
  passOn(messages, options, ended.reject).then(ended.resolve, ended.reject);
  try {
    await ended.promise;
  } catch (error) {
    // Not awaited: an iterator that is waiting for a message may not return before it has one.
    messages.return?.().catch(() => {});
    throw error;
  }
}

async function passOn(
  messages: AsyncIterator<RingMessage>,
  options: RelayOptions,
  fail: (error: unknown) => void,
): Promise<void> {
  const leaving: Promise<void>[] = [];
  let previous: Promise<void> = Promise.resolve();
  let failed = false;
  let frames = 0;
  while (true) {
    const { done, value: message } = await messages.next();
    if (done || failed) break;
    if (message.kind === "frame") frames++;
    const computed = compute(message, options, frames);
    const turn = previous;
    previous = (async () => {
      const [result] = await Promise.all([computed, turn]);
      await options.output.send(result);
    })();
    previous.catch((error) => {
      failed = true;
      fail(error);
    });
    leaving.push(previous);
    if (leaving.length > AHEAD) await leaving.shift();
  }
  await previous;
}

async function compute(
  message: RingMessage,
  options: RelayOptions,
  number: number,
): Promise<RingMessage> {
  const { stage, dModel, last, spans } = options;
  if (message.kind === "cache") {
    const { sample, length, capacity } = message;
    if (capacity === 0) stage.release(sample);
    else {
      stage.open(sample, capacity);
      stage.truncate(sample, length);
    }
    options.onCache?.(sample, length, capacity);
    return message;
  }
  const { segments, epoch } = message;
  const asked = spans ? performance.now() : 0;
  const hidden = await stage.forward({ segments, hidden: message.hidden });
  spans?.forwarded(stage, segments, number, asked);
  return {
    kind: "frame",
    epoch,
    segments,
    hidden: last ? wantedRows(segments, hidden, dModel) : hidden,
  };
}

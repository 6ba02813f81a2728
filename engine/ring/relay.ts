/**
 * What a secondary does with the ring's messages: compute and pass on. Messages leave in the order they
 * came. A few are handed to the stage ahead of time, so that it never waits for the socket thread; more
 * than that would be a hidden queue behind the credits.
 */
import type { Stage } from "../../wasm/stage.ts";
import { type MessageSender, type RingMessage, wantedRows } from "./message.ts";

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
}

/** Runs until the input ends; throws what the stage, the input or the output throws. */
export async function relay(options: RelayOptions): Promise<void> {
  const { stage, dModel, last, input, output } = options;
  const leaving: Promise<void>[] = [];
  let previous: Promise<void> = Promise.resolve();
  for await (const message of input) {
    const computed = begin(message);
    const turn = previous;
    previous = (async () => {
      const [result] = await Promise.all([computed, turn]);
      await output.send(result);
    })();
    previous.catch(() => {}); // awaited below, in order
    leaving.push(previous);
    if (leaving.length > AHEAD) await leaving.shift();
  }
  await previous;

  async function begin(message: RingMessage): Promise<RingMessage> {
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
    const hidden = await stage.forward({ segments, hidden: message.hidden });
    return {
      kind: "frame",
      epoch,
      segments,
      hidden: last ? wantedRows(segments, hidden, dModel) : hidden,
    };
  }
}

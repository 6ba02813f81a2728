/** From a sample's ids to the text that people see: decoded, whole characters, cut at a stop string. */
import { createStopFilter, type StopResult } from "./stop.ts";
import type { StreamDecoderOptions } from "./stream_decoder.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** The text of one sample, token by token. */
export interface TextPipe {
  /** Takes an id; the texts of all ids and of the flush add up to the sample's text. */
  push(id: number): StopResult;
  /** Ends the sample: what was held back for an unfinished character or a possible stop string. */
  flush(): string;
}

/**
 * Makes the pipe of one sample.
 * @throws {RangeError} for an empty stop string.
 */
export function createTextPipe(
  tokenizer: Tokenizer,
  stops: readonly string[],
  options: StreamDecoderOptions = {},
): TextPipe {
  const decoder = tokenizer.streamDecoder(options);
  const filter = createStopFilter(stops);
  return {
    push: (id) => filter.push(decoder.push(id)),
    flush: () => filter.push(decoder.flush()).text + filter.flush(),
  };
}

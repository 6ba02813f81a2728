/** One prompt and its answer as text: between token ids in the ring and the people who read. */
import { MdiError } from "../wasm/error.ts";
import { AsyncQueue } from "./async_queue.ts";
import type { FinishReason } from "./ring/sample.ts";
import type { Turn, TurnRequest } from "./ring/driver.ts";
import { generationSpans } from "./telemetry.ts";
import { createSampler } from "./text/sampler.ts";
import type { SamplingOptions } from "./text/sampling_options.ts";
import { createTextPipe } from "./text/text_pipe.ts";
import type { Tokenizer } from "./text/tokenizer.ts";

/** One generated token. */
export interface Piece {
  /** Its id. */
  id: number;
  /** The text that it made certain; may be empty. */
  text: string;
}

/** What one prompt came to. */
export interface GenerationResult {
  /** The generated text: that of all pieces. */
  text: string;
  /** The generated ids, the end token included. */
  ids: number[];
  /** Why it ended. */
  finishReason: FinishReason;
  /** Number of token ids that the prompt came to. */
  promptTokens: number;
  /** How many of these the caches held from an earlier turn of the conversation. */
  cachedTokens: number;
  /** Milliseconds from the submission to the first token; null where there was none. */
  firstTokenMs: number | null;
}

/** An answer under way: iterate over its pieces, or wait for the whole. */
export interface Generation extends AsyncIterable<Piece> {
  /** Settles when it has ended. */
  readonly result: Promise<GenerationResult>;
  /** Ends it now; the result says "cancel". */
  cancel(): void;
}

/** What a generation needs, everything decided. */
export interface GenerationRequest {
  /** Token ids of the prompt, at least one. */
  prompt: readonly number[];
  /** Whether the answer goes on in the midst of a text, so that a space at its start counts. */
  continuation: boolean;
  /** Tokens generated at most. */
  maxTokens: number;
  /** How each token is drawn. */
  sampling: SamplingOptions;
  /** Texts that end it; none of them appears in its text. */
  stop: readonly string[];
  /** Ids that end it. */
  endTokens: readonly number[];
  /** Cancels it. */
  signal?: AbortSignal | undefined;
  /** Told the result before anybody who reads or waits; undefined where the ring ended under it. */
  onEnd?: ((result: GenerationResult | undefined) => void) | undefined;
}

/** Told what a generation did, for the summary. */
export interface GenerationObserver {
  /** It entered the queue. */
  submitted(promptTokens: number): void;
  /** A token was drawn; `first` for the first of this generation. */
  token(first: boolean): void;
  /** It ended; `silent` where it had no token. */
  ended(silent: boolean): void;
}

/**
 * Starts a generation.
 * @param begin gives the request to the driver: a new sample, or a chat's next turn.
 * @throws what `begin` throws; cancelled where the signal is aborted already.
 */
export function startGeneration(
  tokenizer: Tokenizer,
  request: GenerationRequest,
  observer: GenerationObserver,
  begin: (turn: TurnRequest) => Turn,
): Generation {
  const { signal, prompt } = request;
  if (signal?.aborted) {
    throw new MdiError("cancelled", "Cancelled by the caller", { cause: signal.reason });
  }
  const pieces = new AsyncQueue<Piece>();
  const result = Promise.withResolvers<GenerationResult>();
  result.promise.catch(() => {}); // the iteration sees it too; nobody has to look at both
  const pipe = createTextPipe(tokenizer, request.stop, {
    continuation: request.continuation,
  });
  const start = performance.now();
  let text = "";
  let firstTokenMs: number | null = null;
  let tokens = 0;
  const spans = generationSpans({ "mdi.prompt_tokens": prompt.length });

  const turn = begin({
    prompt,
    limit: request.maxTokens,
    endTokens: request.endTokens,
    sampler: createSampler(request.sampling),
    accept(id, last) {
      observer.token(firstTokenMs === null);
      tokens++;
      if (firstTokenMs === null) spans?.firstToken();
      firstTokenMs ??= performance.now() - start;
      const pushed = last && request.endTokens.includes(id)
        ? { text: "", stopped: false }
        : pipe.push(id);
      const piece = pushed.text + (last && !pushed.stopped ? pipe.flush() : "");
      text += piece;
      pieces.push({ id, text: piece });
      return pushed.stopped;
    },
    ended(outcome) {
      signal?.removeEventListener("abort", cancel);
      observer.ended(firstTokenMs === null);
      spans?.ended(tokens, outcome instanceof Error ? outcome : outcome.finish);
      if (outcome instanceof Error) {
        request.onEnd?.(undefined);
        pieces.end(outcome);
        return result.reject(outcome);
      }
      const { finish, ids, cached } = outcome;
      const whole: GenerationResult = {
        text,
        ids,
        finishReason: finish,
        promptTokens: prompt.length,
        cachedTokens: cached,
        firstTokenMs,
      };
      request.onEnd?.(whole);
      pieces.end();
      result.resolve(whole);
    },
  });
  observer.submitted(prompt.length);
  function cancel(): void {
    turn.stop();
  }
  signal?.addEventListener("abort", cancel, { once: true });
  return {
    result: result.promise,
    cancel,
    async *[Symbol.asyncIterator]() {
      let whole = false;
      try {
        yield* pieces;
        whole = true;
      } finally {
        if (!whole) cancel(); // the reader left early
      }
    },
  };
}

/** A conversation over a ring. */
import type { Generation, GenerationResult } from "../engine/generation.ts";
import type { RingDriver, Turn, TurnRequest } from "../engine/ring/driver.ts";
import type { ChatMessage } from "../engine/text/chat_template.ts";
import type { Tokenizer } from "../engine/text/tokenizer.ts";
import type { GenerateOptions } from "./ring.ts";

/** A conversation: one sample whose caches stay on the nodes between turns. */
export interface Chat extends Disposable {
  /** The messages so far. */
  readonly messages: readonly ChatMessage[];
  /**
   * Says something and gets the answer, which becomes part of the conversation.
   * @throws {MdiError} context_exceeded, busy, memory, or why the ring ended.
   * @throws {RangeError} where an option is out of its range.
   * @throws {TypeError} while the last answer is under way, and after the chat was disposed of.
   */
  send(text: string, options?: GenerateOptions): Generation;
}

/** A turn for the ring to start. */
export interface ChatTurn {
  /** Token ids of the whole conversation. */
  ids: number[];
  /** Tokens that it and its answer may have. */
  capacity: number;
  /** Gives the request to the driver. */
  begin(request: TurnRequest): Turn;
  /** Told the result before anybody else; undefined where the ring ended. */
  onEnd(result: GenerationResult | undefined): void;
}

/** What a {@linkcode RingChat} is made from. */
export interface ChatParts {
  driver: RingDriver;
  tokenizer: Tokenizer;
  /** What is said already. */
  messages: readonly ChatMessage[];
  /** Tokens that its caches are to hold over all turns. */
  capacity: number;
  /** Starts a generation. */
  start(turn: ChatTurn, options: GenerateOptions): Generation;
}

/** A sample that pauses between turns; a turn starts where its ids first differ from what is cached. */
export class RingChat implements Chat {
  readonly messages: ChatMessage[];
  #parts: ChatParts;
  #sample: number | undefined;
  #state: "idle" | "answering" | "disposed" = "idle";

  /** Makes a conversation that takes no room before its first turn. */
  constructor(parts: ChatParts) {
    this.#parts = parts;
    this.messages = [...parts.messages];
  }

  send(text: string, options: GenerateOptions = {}): Generation {
    if (this.#state === "answering") {
      throw new TypeError(
        "Cannot send: the last message is still being answered; wait for it or cancel it",
      );
    }
    if (this.#state === "disposed") {
      throw new TypeError("Cannot send: the conversation was ended; start another");
    }
    const { tokenizer, capacity } = this.#parts;
    const message = { role: "user", content: text };
    const messages = [...this.messages, message];
    const ids = tokenizer.chat(messages, { addGenerationPrompt: true, maxTokens: capacity });
    const generation = this.#parts.start({
      ids,
      capacity,
      begin: (request) => this.#begin(request),
      onEnd: (result) => this.#answered(result),
    }, options);
    this.messages.push(message);
    this.#state = "answering";
    return generation;
  }

  #begin(request: TurnRequest): Turn {
    const { driver, capacity } = this.#parts;
    if (this.#sample !== undefined) return driver.continue(this.#sample, request);
    const turn = driver.submit({ ...request, capacity, keep: true });
    this.#sample = turn.sample;
    return turn;
  }

  #answered(result: GenerationResult | undefined): void {
    if (this.#state === "answering") this.#state = "idle";
    if (result) this.messages.push({ role: "assistant", content: result.text });
    else this.messages.pop();
  }

  [Symbol.dispose](): void {
    this.#state = "disposed";
    if (this.#sample !== undefined) this.#parts.driver.cancel(this.#sample);
    this.#sample = undefined;
  }
}

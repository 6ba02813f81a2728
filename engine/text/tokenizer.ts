/**
 * Text to ids and back.
 *
 * Encoding and chat templates are @huggingface/tokenizers and @huggingface/jinja, the packages that
 * transformers.js itself is made of, used directly: they load in 11 ms and 9 MB, all of transformers.js
 * with its ONNX Runtime in 212 ms and 32 MB, of which the starter needs nothing else.
 */
import { Tokenizer as HfTokenizer } from "@huggingface/tokenizers";
import { MdiError, messageOf } from "../../wasm/error.ts";
import type { TextAssets } from "../model/types.ts";
import {
  type ChatMessage,
  type ChatOptions,
  type ChatTemplate,
  createChatTemplate,
} from "./chat_template.ts";
import {
  createStreamDecoder,
  type DecoderPlan,
  decoderPlan,
  type DecoderVocab,
  type StreamDecoder,
  type StreamDecoderOptions,
} from "./stream_decoder.ts";
import { prepareTokenizerJson, type TokenizerJson } from "./tokenizer_json.ts";
import { textParts } from "./text_parts.ts";

/** Settings of {@linkcode Tokenizer.encode}. */
export interface EncodeOptions {
  /**
   * Put the tokens around the text that the model expects, such as the beginning of sequence.
   * @default true
   */
  addSpecialTokens?: boolean;
  /**
   * Give up when the text turns out to have more tokens, so that a prompt of megabytes costs no more
   * than a full context: the package takes one to two microseconds a character.
   * @default Infinity
   */
  maxTokens?: number;
}

/** Settings of {@linkcode Tokenizer.decode}. */
export interface DecodeOptions {
  /**
   * Leave special tokens out.
   * @default false
   */
  skipSpecialTokens?: boolean;
}

/** A model's tokenizer and chat template. */
export interface Tokenizer {
  /** One more than the largest token id. */
  readonly vocab: number;
  /** Whether {@linkcode Tokenizer.chat} has a template to work with. */
  readonly hasChatTemplate: boolean;
  /**
   * The ids of a text. A special token that is spelt out in the text becomes that token. Half a
   * surrogate pair counts as U+FFFD.
   * @throws {MdiError} context_exceeded for more than `maxTokens`.
   */
  encode(text: string, options?: EncodeOptions): number[];
  /** The text of ids. Ids without a token have none. */
  decode(ids: readonly number[], options?: DecodeOptions): string;
  /**
   * The ids of a chat under the model's template.
   * @throws {MdiError} model_unsupported without a template, or where it refuses the messages;
   * context_exceeded for more than `maxTokens`.
   */
  chat(
    messages: readonly ChatMessage[],
    options?: ChatOptions & Pick<EncodeOptions, "maxTokens">,
  ): number[];
  /** Whether an id is a special token: one without text of its own. */
  isSpecial(id: number): boolean;
  /** A decoder for the ids of one sequence, one at a time. */
  streamDecoder(options?: StreamDecoderOptions): StreamDecoder;
}

/**
 * Makes the tokenizer of a model.
 * @throws {MdiError} model_corrupt or model_unsupported for assets that cannot be used.
 */
export function createTokenizer(assets: TextAssets): Tokenizer {
  const json = prepareTokenizerJson(assets.tokenizer);
  const plan = decoderPlan(json.decoder);
  const template = createChatTemplate(assets.tokenizerConfig);
  try {
    return new BpeTokenizer(json, assets.tokenizerConfig, plan, template);
  } catch (cause) {
    if (cause instanceof MdiError) throw cause;
    throw new MdiError(
      "model_unsupported",
      `Cannot use the tokenizer: ${messageOf(cause)}`,
      { cause },
    );
  }
}

class BpeTokenizer implements Tokenizer, DecoderVocab {
  readonly vocab: number;
  readonly hasChatTemplate: boolean;
  readonly #encoder: HfTokenizer;
  readonly #plan: DecoderPlan;
  readonly #template: ChatTemplate | null;
  readonly #added = new Set<number>();
  readonly #special = new Set<number>();
  /** The ids that the post-processor puts before and after a text. */
  readonly #prefix: number[];
  readonly #suffix: number[];

  constructor(
    json: TokenizerJson,
    config: Record<string, unknown>,
    plan: DecoderPlan,
    template: ChatTemplate | null,
  ) {
    this.#encoder = new HfTokenizer(json, config);
    this.#plan = plan;
    this.#template = template;
    this.hasChatTemplate = template !== null;
    for (const token of json.added_tokens) {
      this.#added.add(token.id as number);
      if (token.special) this.#special.add(token.id as number);
    }
    this.vocab = 1 + largest(Object.values(json.model.vocab), this.#added);
    // The package keeps these lists beside the maps that it made of them: 10 MB for 49,152 tokens.
    json.model.vocab = {};
    json.model.merges.length = 0;
    [this.#prefix, this.#suffix] = this.#surroundings();
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    const { addSpecialTokens = true, maxTokens = Infinity } = options;
    const ids = addSpecialTokens ? [...this.#prefix] : [];
    for (const part of textParts(text.toWellFormed(), this.#plan.dummySpace)) {
      for (const id of this.#encodePart(part, false)) ids.push(id);
      if (ids.length > maxTokens) break;
    }
    if (addSpecialTokens) ids.push(...this.#suffix);
    if (ids.length <= maxTokens) return ids;
    throw new MdiError(
      "context_exceeded",
      `Cannot use a text of ${text.length} characters: it has more than ${maxTokens} tokens; ` +
        "shorten it or allow a longer context",
      { details: { characters: text.length, maxTokens } },
    );
  }

  decode(ids: readonly number[], options: DecodeOptions = {}): string {
    const decoder = this.streamDecoder({ skipSpecialTokens: options.skipSpecialTokens ?? false });
    let text = "";
    for (const id of ids) text += decoder.push(id);
    return text + decoder.flush();
  }

  chat(
    messages: readonly ChatMessage[],
    options: ChatOptions & Pick<EncodeOptions, "maxTokens"> = {},
  ): number[] {
    if (this.#template === null) {
      throw new MdiError(
        "model_unsupported",
        "Cannot chat with this model: it has no chat template; give it a plain prompt",
      );
    }
    // The template has written the special tokens itself.
    return this.encode(this.#template.render(messages, options), {
      addSpecialTokens: false,
      maxTokens: options.maxTokens ?? Infinity,
    });
  }

  isSpecial(id: number): boolean {
    return this.#special.has(id);
  }

  isAdded(id: number): boolean {
    return this.#added.has(id);
  }

  piece(id: number): string | undefined {
    return this.#encoder.id_to_token(id);
  }

  streamDecoder(options: StreamDecoderOptions = {}): StreamDecoder {
    return createStreamDecoder(this.#plan, this, options);
  }

  #encodePart(text: string, surround: boolean): number[] {
    const { ids, tokens } = this.#encoder.encode(text, { add_special_tokens: surround });
    // The package gives undefined where a token of the post-processor is not in the vocabulary.
    const bad = ids.indexOf(undefined as unknown as number);
    if (bad === -1) return ids;
    throw new MdiError(
      "model_corrupt",
      `Cannot encode with the tokenizer: it has no id for ${JSON.stringify(tokens[bad])}`,
    );
  }

  /** What the post-processor puts around a text, found by asking it. */
  #surroundings(): [number[], number[]] {
    const plain = this.#encodePart("a", false);
    const whole = this.#encodePart("a", true);
    let start = 0;
    while (
      start < whole.length - plain.length && plain.some((id, i) => whole[start + i] !== id)
    ) start++;
    return [whole.slice(0, start), whole.slice(start + plain.length)];
  }
}

function largest(ids: number[], added: Set<number>): number {
  let result = -1;
  for (const id of ids) if (id > result) result = id;
  for (const id of added) if (id > result) result = id;
  return result;
}

/** The chat template of a model: a Jinja program that writes messages as the model was trained on them. */
import { Template } from "@huggingface/jinja";
import { MdiError, messageOf } from "../../wasm/error.ts";

/** One message of a chat. */
export interface ChatMessage {
  /** "system", "user" or "assistant"; templates may know more. */
  role: string;
  /** Its text. */
  content: string;
}

/** Settings of {@linkcode ChatTemplate.render}. */
export interface ChatOptions {
  /**
   * End with the start of the assistant's turn, which the model is to fill.
   * @default true
   */
  addGenerationPrompt?: boolean;
}

/** A model's chat template. */
export interface ChatTemplate {
  /**
   * Writes the messages as text, with the model's special tokens spelt out in it.
   * @throws {MdiError} model_unsupported where the template is malformed or refuses the messages.
   */
  render(messages: readonly ChatMessage[], options?: ChatOptions): string;
}

/** The names under which transformers gives special tokens to a template. */
const SPECIAL_TOKENS = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
  "additional_special_tokens",
];

/**
 * Finds the template in a tokenizer_config.json; null where the model has none. Where it has several by
 * name, "default" is taken, as transformers does.
 * @throws {MdiError} model_unsupported where there are several and none is the default.
 */
export function createChatTemplate(config: Record<string, unknown>): ChatTemplate | null {
  const source = templateSource(config.chat_template);
  return source === null ? null : new JinjaChatTemplate(source, specialTokens(config));
}

class JinjaChatTemplate implements ChatTemplate {
  readonly #source: string;
  readonly #tokens: Record<string, unknown>;
  #template: Template | undefined;

  constructor(source: string, tokens: Record<string, unknown>) {
    this.#source = source;
    this.#tokens = tokens;
  }

  render(messages: readonly ChatMessage[], options: ChatOptions = {}): string {
    try {
      // Parsed at first use: a broken template is no reason to refuse plain completions.
      this.#template ??= new Template(this.#source);
      return this.#template.render({
        messages: messages.map(({ role, content }) => ({ role, content })),
        add_generation_prompt: options.addGenerationPrompt ?? true,
        tools: null,
        documents: null,
        ...this.#tokens,
      });
    } catch (cause) {
      throw new MdiError(
        "model_unsupported",
        `Cannot format the chat with the model's template: ${messageOf(cause)}; ` +
          "use a plain prompt, or other roles",
        { cause },
      );
    }
  }
}

function templateSource(value: unknown): string | null {
  if (typeof value === "string") return value;
  if (!Array.isArray(value) || value.length === 0) return null;
  const named = value.filter((entry): entry is { name: string; template: string } =>
    typeof entry?.name === "string" && typeof entry?.template === "string"
  );
  const chosen = named.find((entry) => entry.name === "default");
  if (chosen === undefined) {
    const names = named.map((entry) => entry.name).join(", ");
    throw new MdiError(
      "model_unsupported",
      `Cannot choose a chat template: none is named "default" among: ${names}; use a plain prompt`,
      { details: { names } },
    );
  }
  return chosen.template;
}

function specialTokens(config: Record<string, unknown>): Record<string, unknown> {
  const tokens: Record<string, unknown> = {};
  for (const name of SPECIAL_TOKENS) {
    const value = tokenText(config[name]);
    if (value) tokens[name] = value;
  }
  return tokens;
}

/** A token in a tokenizer_config.json is its text, or an object with its text as `content`. */
function tokenText(value: unknown): unknown {
  return typeof value === "object" && value !== null && "content" in value ? value.content : value;
}

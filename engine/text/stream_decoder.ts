/**
 * Ids to text, one at a time. The tokenizer packages decode whole lists only; decoding the list again
 * for every token is quadratic and shows halves of characters. Here a token becomes its bytes, and the
 * bytes become text as soon as they make up whole characters: constant work a token.
 *
 * Invalid UTF-8 becomes U+FFFD as the WHATWG's Encoding Standard has it (and TextDecoder with it).
 */
import { MdiError } from "../../wasm/error.ts";
import { bytesOfByteLevel } from "./byte_level.ts";

/** Turns the ids of one sequence into text as they come. */
export interface StreamDecoder {
  /** Takes an id and returns the text that it completes, which may be empty. */
  push(id: number): string;
  /** Ends the sequence: U+FFFD for bytes that never became a character, else nothing. */
  flush(): string;
}

/** Settings of a stream decoder. */
export interface StreamDecoderOptions {
  /**
   * Special tokens (end of turn, padding …) have no text.
   * @default true
   */
  skipSpecialTokens?: boolean;
  /**
   * The ids go on after a prompt, so that a SentencePiece model's space before the first word is kept;
   * otherwise they start a text, and it is the dummy that such models put before every text.
   * @default false
   */
  continuation?: boolean;
}

/** What of a tokenizer.json the way from ids to text depends on. */
export interface DecoderPlan {
  /** "bytes": a character of a piece stands for a byte (GPT-2's table). "text": pieces are text. */
  pieces: "bytes" | "text";
  /** What U+0020 is written as in pieces of text. */
  space: string;
  /** Whether a piece "<0xNN>" is that byte. */
  byteFallback: boolean;
  /** Whether one space at the start of a text is a dummy. */
  dummySpace: boolean;
}

/** The tokens by id, as the stream decoder asks for them. */
export interface DecoderVocab {
  /** The piece of an id; undefined where it has none. */
  piece(id: number): string | undefined;
  /** Whether the id's piece is literal text that stands outside the model's vocabulary. */
  isAdded(id: number): boolean;
  /** Whether the id is a special token. */
  isSpecial(id: number): boolean;
}

/**
 * Reads the `decoder` of a tokenizer.json.
 * @throws {MdiError} model_unsupported for a kind that the decoders of language models do not have.
 */
export function decoderPlan(decoder: unknown): DecoderPlan {
  const plan: DecoderPlan = { pieces: "text", space: " ", byteFallback: false, dummySpace: false };
  for (const step of stepsOf(decoder)) {
    switch (step.type) {
      case "ByteLevel":
        plan.pieces = "bytes";
        break;
      case "Replace":
        plan.space = String((step.pattern as { String?: unknown } | undefined)?.String ?? " ");
        break;
      case "ByteFallback":
        plan.byteFallback = true;
        break;
      case "Fuse":
        break;
      case "Strip":
        plan.dummySpace = step.content === " " && Number(step.start) > 0;
        break;
      case "Metaspace":
        plan.space = String(step.replacement ?? "▁");
        plan.dummySpace = step.prepend_scheme !== "never" && step.add_prefix_space !== false;
        break;
      default:
        throw new MdiError(
          "model_unsupported",
          `Cannot decode with the tokenizer: its decoder has a step ${
            JSON.stringify(step.type)
          }; ` +
            "mdi knows ByteLevel, Replace, ByteFallback, Fuse, Strip and Metaspace",
        );
    }
  }
  return plan;
}

function stepsOf(decoder: unknown): Record<string, unknown>[] {
  if (typeof decoder !== "object" || decoder === null) return [];
  const { type, decoders } = decoder as Record<string, unknown>;
  const steps = type === "Sequence" && Array.isArray(decoders) ? decoders : [decoder];
  return steps.filter((step) => typeof step === "object" && step !== null);
}

/** Makes the decoder of one sequence. */
export function createStreamDecoder(
  plan: DecoderPlan,
  vocab: DecoderVocab,
  options: StreamDecoderOptions = {},
): StreamDecoder {
  return new Utf8StreamDecoder(plan, vocab, options);
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const BYTE_PIECE = /^<0x([0-9A-Fa-f]{2})>$/;
const NOTHING = new Uint8Array(0);

class Utf8StreamDecoder implements StreamDecoder {
  readonly #plan: DecoderPlan;
  readonly #vocab: DecoderVocab;
  readonly #skipSpecial: boolean;
  #dropSpace: boolean;
  /** At most three bytes that may be the start of a character. */
  #pending: Uint8Array = NOTHING;

  constructor(plan: DecoderPlan, vocab: DecoderVocab, options: StreamDecoderOptions) {
    this.#plan = plan;
    this.#vocab = vocab;
    this.#skipSpecial = options.skipSpecialTokens ?? true;
    this.#dropSpace = plan.dummySpace && !options.continuation;
  }

  push(id: number): string {
    if (this.#skipSpecial && this.#vocab.isSpecial(id)) return "";
    const piece = this.#vocab.piece(id);
    if (piece === undefined) return "";
    const bytes = this.#vocab.isAdded(id) ? undefined : this.#bytesOf(piece);
    if (bytes !== undefined) return this.#start(this.#decode(bytes));
    return this.#start(this.#endBytes() + piece.replaceAll(this.#plan.space, " "));
  }

  flush(): string {
    return this.#start(this.#endBytes());
  }

  /** The bytes of a piece that stands for bytes, undefined for one that is text. */
  #bytesOf(piece: string): Uint8Array | undefined {
    if (this.#plan.pieces === "bytes") return bytesOfByteLevel(piece);
    const hex = this.#plan.byteFallback ? BYTE_PIECE.exec(piece)?.[1] : undefined;
    return hex === undefined ? undefined : Uint8Array.of(parseInt(hex, 16));
  }

  #decode(bytes: Uint8Array): string {
    const all = concat(this.#pending, bytes);
    const whole = all.length - incompleteTail(all);
    this.#pending = all.slice(whole);
    return utf8.decode(all.subarray(0, whole));
  }

  #endBytes(): string {
    if (this.#pending.length === 0) return "";
    const text = utf8.decode(this.#pending);
    this.#pending = NOTHING;
    return text;
  }

  #start(text: string): string {
    if (!this.#dropSpace || text === "") return text;
    this.#dropSpace = false;
    return text.startsWith(" ") ? text.slice(1) : text;
  }
}

/**
 * How many bytes at the end may be the start of a character that is not complete: 0 to 3. Cutting
 * before a lead byte never changes how the rest decodes.
 */
function incompleteTail(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b;
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}

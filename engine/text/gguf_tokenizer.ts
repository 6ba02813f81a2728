/**
 * A tokenizer.json and tokenizer_config.json from the metadata of a GGUF file, so that one tokenizer
 * serves every kind of model. Keys and token types: docs/gguf.md of the ggml project; their defaults:
 * llama.cpp's src/llama-vocab.cpp.
 */
import { MdiError } from "../../wasm/error.ts";
import type { GgufValue } from "../model/gguf/reader.ts";
import type { TextAssets } from "../model/types.ts";
import { GgufTextFields } from "./gguf_text_fields.ts";
import { ggufPreTokenizer } from "./gguf_pre_tokenizers.ts";
import { mergesOfScores } from "./sentencepiece_merges.ts";
import { type JsonObject, splitBy } from "./tokenizer_json.ts";

/** What `tokenizer.ggml.token_type` says of a token. */
const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4 } as const;

/**
 * Makes the text assets of a GGUF model.
 * @param metadata all of the file's, or those whose names start with "tokenizer.".
 * @throws {MdiError} model_unsupported for a tokenizer of another kind, model_corrupt for metadata that
 * is missing or of the wrong type.
 */
export function ggufTextAssets(metadata: ReadonlyMap<string, GgufValue>): TextAssets {
  const fields = new GgufTextFields(metadata);
  const kind = fields.text("tokenizer.ggml.model");
  const pieces = fields.texts("tokenizer.ggml.tokens");
  if (pieces === undefined) throw fields.corrupt("tokenizer.ggml.tokens", "it is missing");
  const types = fields.numbers("tokenizer.ggml.token_type", pieces.length);
  const vocabulary: Vocabulary = { pieces, types, fields };
  switch (kind) {
    case "gpt2":
      return byteLevelBpe(vocabulary);
    case "llama":
      return sentencePieceBpe(vocabulary);
    default:
      throw new MdiError(
        "model_unsupported",
        `Cannot use the tokenizer "${kind ?? ""}" of the GGUF file: mdi knows "gpt2" and "llama"`,
        { details: { tokenizer: kind ?? "" } },
      );
  }
}

interface Vocabulary {
  pieces: string[];
  types: number[] | undefined;
  fields: GgufTextFields;
}

/** GPT-2's byte-level BPE: merges are given, the way to split words has a name. */
function byteLevelBpe(vocabulary: Vocabulary): TextAssets {
  const { pieces, fields } = vocabulary;
  const name = fields.text("tokenizer.ggml.pre") ?? "default";
  const pre = ggufPreTokenizer(name);
  if (pre === undefined) {
    throw new MdiError(
      "model_unsupported",
      `Cannot use the tokenizer of the GGUF file: mdi does not know its pre-tokenizer "${name}"; ` +
        "use another export of the model",
      { details: { pre: name } },
    );
  }
  const merges = fields.texts("tokenizer.ggml.merges");
  if (merges === undefined) throw fields.corrupt("tokenizer.ggml.merges", "it is missing");
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
  return assemble(vocabulary, {
    addBos: pre.addBos,
    normalizer: pre.composes ? { type: "NFC" } : null,
    preTokenizer: { type: "Sequence", pretokenizers: [...pre.patterns.map(splitBy), byteLevel] },
    decoder: byteLevel,
    model: { type: "BPE", vocab: idsOf(pieces), merges, ignore_merges: pre.ignoreMerges },
  });
}

/** SentencePiece's BPE with byte fallback: merges follow from scores. */
function sentencePieceBpe(vocabulary: Vocabulary): TextAssets {
  const { pieces, types, fields } = vocabulary;
  const scores = fields.numbers("tokenizer.ggml.scores", pieces.length);
  if (scores === undefined) throw fields.corrupt("tokenizer.ggml.scores", "it is missing");
  const unknown = fields.id("tokenizer.ggml.unknown_token_id", pieces.length) ?? 0;
  const prefix = fields.flag("tokenizer.ggml.add_space_prefix") ?? true;
  const replace = { type: "Replace", pattern: { String: " " }, content: "▁" };
  const scored = pieces.map((text, id) => ({ text, id, score: scores[id]! }))
    .filter(({ id }) => (types?.[id] ?? TOKEN_TYPE.normal) === TOKEN_TYPE.normal);
  return assemble(vocabulary, {
    addBos: true,
    normalizer: {
      type: "Sequence",
      normalizers: prefix ? [{ type: "Prepend", prepend: "▁" }, replace] : [replace],
    },
    preTokenizer: null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        ...(prefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: "BPE",
      vocab: idsOf(pieces),
      merges: mergesOfScores(scored),
      unk_token: pieces[unknown],
      fuse_unk: true,
      byte_fallback: true,
    },
  });
}

/** What the two kinds differ in. */
interface Parts {
  /** Where the file does not say. */
  addBos: boolean;
  normalizer: JsonObject | null;
  preTokenizer: JsonObject | null;
  decoder: JsonObject;
  model: JsonObject;
}

function assemble({ pieces, types, fields }: Vocabulary, parts: Parts): TextAssets {
  const token = (name: string): string | undefined => {
    const id = fields.id(`tokenizer.ggml.${name}_token_id`, pieces.length);
    return id === undefined ? undefined : pieces[id];
  };
  const bos = token("bos");
  const eos = token("eos");
  const before = fields.flag("tokenizer.ggml.add_bos_token") ?? parts.addBos ? bos : undefined;
  const after = fields.flag("tokenizer.ggml.add_eos_token") ? eos : undefined;
  const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const single = [
    ...(before === undefined ? [] : [special(before)]),
    { Sequence: { id: "A", type_id: 0 } },
    ...(after === undefined ? [] : [special(after)]),
  ];
  return {
    tokenizer: {
      version: "1.0",
      added_tokens: addedTokens(pieces, types),
      normalizer: parts.normalizer,
      pre_tokenizer: parts.preTokenizer,
      post_processor: single.length === 1 ? null : { type: "TemplateProcessing", single },
      decoder: parts.decoder,
      model: parts.model,
    },
    tokenizerConfig: {
      bos_token: bos,
      eos_token: eos,
      unk_token: token("unknown"),
      pad_token: token("padding"),
      chat_template: fields.chatTemplate(),
    },
    sampling: {},
  };
}

/** Control tokens and the unknown token have no text; user-defined ones are matched as they are. */
function addedTokens(
  pieces: readonly string[],
  types: readonly number[] | undefined,
): JsonObject[] {
  const added: JsonObject[] = [];
  types?.forEach((type, id) => {
    const special = type === TOKEN_TYPE.control || type === TOKEN_TYPE.unknown;
    const content = pieces[id]!;
    if ((special || type === TOKEN_TYPE.userDefined) && content !== "") {
      added.push({ id, content, special, normalized: false });
    }
  });
  return added;
}

/** Ids by piece. Where a piece is there twice the first counts, as in llama.cpp's id_to_token. */
function idsOf(pieces: readonly string[]): Record<string, number> {
  const ids = new Map<string, number>();
  pieces.forEach((piece, id) => {
    if (!ids.has(piece)) ids.set(piece, id);
  });
  return Object.fromEntries(ids);
}

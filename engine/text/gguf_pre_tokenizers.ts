/**
 * The patterns that split a text into words before byte-level BPE, by the name that a GGUF file gives in
 * `tokenizer.ggml.pre`. Source: `llm_tokenizer_bpe` and `llama_vocab::impl::load` in llama.cpp's
 * src/llama-vocab.cpp, and the tokenizer.json of the models themselves.
 */
import { GPT2_PATTERN } from "./tokenizer_json.ts";

/** How a family of models splits its texts. */
export interface GgufPreTokenizer {
  /** Applied one after another; each splits what the ones before left. */
  patterns: string[];
  /** A word that is in the vocabulary as it is needs no merges. */
  ignoreMerges: boolean;
  /** Whether a text starts with the beginning-of-sequence token where the file does not say. */
  addBos: boolean;
  /** Whether a text is composed (NFC) first. llama.cpp leaves that out; the models' own tokenizers do it. */
  composes: boolean;
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";

/** Llama 3's and Qwen2's pattern differ in how many digits make a word. */
function cl100k(digits: string): string {
  return `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}` +
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
}

/** Mistral's Tekken and GPT-4o: words end before a capital. */
function o200k(suffix: string, digits: string): string {
  const upper = "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}";
  const lower = "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}";
  const first = "[^\\r\\n\\p{L}\\p{N}]?";
  return `${first}[${upper}]*[${lower}]+${suffix}|${first}[${upper}]+[${lower}]*${suffix}|${digits}` +
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
}

const CJK = "[一-龥ࠀ-一가-퟿]+";

const FAMILIES: readonly [
  names: string[],
  patterns: string[],
  flags?: Partial<GgufPreTokenizer>,
][] = [
  [
    ["default"],
    ["[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2_PATTERN, "\\p{N}+", "[0-9][0-9][0-9]"],
  ],
  [
    ["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
    [cl100k("\\p{N}{1,3}")],
    { ignoreMerges: true, addBos: true },
  ],
  [["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], [cl100k("\\p{N}{1,3}")]],
  [["qwen2"], [cl100k("\\p{N}")], { composes: true }],
  [["deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan"], [cl100k("\\p{N}")]],
  [
    ["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
    ["\\p{N}", GPT2_PATTERN],
  ],
  [["gpt-2", "phi-2", "mpt", "olmo", "jais", "exaone4", "granite-docling"], [GPT2_PATTERN]],
  [["tekken"], [o200k("", "\\p{N}")], { ignoreMerges: true, addBos: true }],
  [["gpt-4o", "llama4"], [o200k(`${CONTRACTIONS}?`, "\\p{N}{1,3}")]],
  [
    ["deepseek-llm"],
    [
      "[\\r\\n]",
      "\\s?[\\p{Lu}\\p{Ll}\\p{Lt}]+",
      "\\s?[!-/:-~！-／：-～‘-‟　-。]+",
      "\\s+$",
      CJK,
      "\\p{N}+",
    ],
  ],
  [["deepseek-coder"], ["[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK, "\\p{N}"]],
  [
    ["deepseek-v3"],
    [
      "\\p{N}{1,3}",
      "[一-龥぀-ゟ゠-ヿ]+",
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+" +
      "| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    ],
  ],
];

const BY_NAME = new Map(
  FAMILIES.flatMap(([names, patterns, flags]) =>
    names.map((name) =>
      [name, {
        patterns,
        ignoreMerges: false,
        addBos: false,
        composes: false,
        ...flags,
      }] satisfies [
        string,
        GgufPreTokenizer,
      ]
    )
  ),
);

/** How a name of `tokenizer.ggml.pre` splits texts; undefined for one that is not known. */
export function ggufPreTokenizer(name: string): GgufPreTokenizer | undefined {
  return BY_NAME.get(name);
}

/** A small decoder with made-up weights, for devices that have no model: a safetensors directory. */
import { join } from "node:path";

/** Its name, as results have it. */
export const GENERATED_NAME = "generated-llama-8m";

const WIDTH = 256;
const INNER = 768;
const LAYERS = 8;
const HEADS = 4;
const KV_HEADS = 2;
const HEAD_DIM = 64;
/** A token for each byte, and the end. */
const VOCAB = 257;

/** Writes the model into a directory of this name below another, and says where. */
export async function generateModel(below: string): Promise<string> {
  const directory = join(below, GENERATED_NAME);
  await Deno.mkdir(directory, { recursive: true });
  const json = (name: string, value: unknown) =>
    Deno.writeTextFile(join(directory, name), JSON.stringify(value));
  await json("config.json", {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_act: "silu",
    hidden_size: WIDTH,
    intermediate_size: INNER,
    num_hidden_layers: LAYERS,
    num_attention_heads: HEADS,
    num_key_value_heads: KV_HEADS,
    head_dim: HEAD_DIM,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: true,
    vocab_size: VOCAB,
    eos_token_id: VOCAB - 1,
    torch_dtype: "float16",
  });
  await json("tokenizer.json", tokenizer());
  await Deno.writeFile(join(directory, "model.safetensors"), safetensors());
  return directory;
}

/** The names and shapes of all tensors. */
function* tensors(): Generator<[name: string, shape: number[]]> {
  yield ["model.embed_tokens.weight", [VOCAB, WIDTH]];
  for (let layer = 0; layer < LAYERS; layer++) {
    const at = (name: string) => `model.layers.${layer}.${name}.weight`;
    yield [at("input_layernorm"), [WIDTH]];
    yield [at("self_attn.q_proj"), [HEADS * HEAD_DIM, WIDTH]];
    yield [at("self_attn.k_proj"), [KV_HEADS * HEAD_DIM, WIDTH]];
    yield [at("self_attn.v_proj"), [KV_HEADS * HEAD_DIM, WIDTH]];
    yield [at("self_attn.o_proj"), [WIDTH, HEADS * HEAD_DIM]];
    yield [at("post_attention_layernorm"), [WIDTH]];
    yield [at("mlp.gate_proj"), [INNER, WIDTH]];
    yield [at("mlp.up_proj"), [INNER, WIDTH]];
    yield [at("mlp.down_proj"), [WIDTH, INNER]];
  }
  yield ["model.norm.weight", [WIDTH]];
}

/** All weights as f16 between -1/16 and 1/16, the same every time; https://huggingface.co/docs/safetensors. */
function safetensors(): Uint8Array {
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const [name, shape] of tensors()) {
    const bytes = 2 * shape.reduce((product, size) => product * size, 1);
    header[name] = { dtype: "F16", shape, data_offsets: [end, end += bytes] };
  }
  const text = JSON.stringify(header);
  const head = new TextEncoder().encode(text.padEnd(Math.ceil(text.length / 8) * 8));
  const file = new Uint8Array(8 + head.length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(head.length), true);
  file.set(head, 8);
  const weights = new Float16Array(file.buffer, 8 + head.length);
  let state = 1;
  for (let i = 0; i < weights.length; i++) {
    state = Math.imul(state, 0x41c64e6d) + 12345;
    weights[i] = (state >>> 8) / 2 ** 27 - 1 / 16;
  }
  return file;
}

/** Every byte a token, no merges; the letters are GPT-2's for bytes. */
function tokenizer(): unknown {
  const printed = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 256;
  const vocab: Record<string, number> = {};
  for (let byte = 0; byte < 256; byte++) {
    vocab[String.fromCodePoint(printed(byte) ? byte : next++)] = byte;
  }
  const content = "<|end|>";
  vocab[content] = VOCAB - 1;
  const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [{ id: VOCAB - 1, content, ...plain, special: true }],
    normalizer: null,
    pre_tokenizer: { ...byteLevel, use_regex: true },
    post_processor: null,
    decoder: { ...byteLevel, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab,
      merges: [],
    },
  };
}

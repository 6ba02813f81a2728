"""Makes a GGUF file of a small Llama with random weights, all of one type: to compare types of weights.

    python make_random_gguf.py TOKENIZER.gguf TYPE OUT.gguf      (packages: requirements.txt)

TYPE is a type of ggml that has blocks, such as q8_0, q4_k or q6_k; ggml's own ggml_quantize_chunk() makes
them. The tokenizer comes from TOKENIZER.gguf. Rows have 768 or 2,048 values, which every type divides;
there are 138 million weights, and the head is the embedding.
"""

import argparse
import ctypes
import platform
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType
from gguf.constants import GGML_QUANT_SIZES

HIDDEN, FEED_FORWARD, LAYERS, HEADS, KV_HEADS, HEAD = 768, 2048, 16, 12, 4, 64
CONTEXT = 2048


class Ggml:
    """ggml's quantiser, from node-llama-cpp's package."""

    def __init__(self, kind: GGMLQuantizationType) -> None:
        name = "linux-x64" if platform.machine() == "x86_64" else "linux-arm64"
        packages = Path(__file__).parent / "packages/node_modules/@node-llama-cpp"
        library = ctypes.CDLL(str(packages / name / "bins" / name / "libggml-base.so"))
        self.kind = kind
        self.quantize = library.ggml_quantize_chunk
        self.quantize.restype = ctypes.c_size_t
        self.quantize.argtypes = [
            ctypes.c_int,  # type
            ctypes.c_void_p,  # source, f32
            ctypes.c_void_p,  # destination
            ctypes.c_int64,  # first value
            ctypes.c_int64,  # rows
            ctypes.c_int64,  # values in a row
            ctypes.c_void_p,  # importance matrix
        ]
        library.ggml_quantize_init(int(kind))

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        rows, width = weights.shape
        block, size = GGML_QUANT_SIZES[self.kind]
        out = np.empty((rows, width // block * size), np.uint8)
        written = self.quantize(
            int(self.kind), weights.ctypes.data, out.ctypes.data, 0, rows, width, None
        )
        if written != out.nbytes:
            raise ValueError(f"ggml wrote {written} bytes instead of {out.nbytes}")
        return out


def copy_tokenizer(reader: GGUFReader, writer: GGUFWriter) -> int:
    """Copies what the file says of its tokenizer. Returns the number of tokens."""
    for name, field in reader.fields.items():
        if not name.startswith("tokenizer."):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, inner)
    return len(reader.fields["tokenizer.ggml.tokens"].data)


def shapes(vocab: int) -> dict[str, tuple[int, int]]:
    """Rows and their width, by the name of a matrix."""
    kv = KV_HEADS * HEAD
    layer = {
        "attn_q": (HIDDEN, HIDDEN),
        "attn_k": (kv, HIDDEN),
        "attn_v": (kv, HIDDEN),
        "attn_output": (HIDDEN, HIDDEN),
        "ffn_gate": (FEED_FORWARD, HIDDEN),
        "ffn_up": (FEED_FORWARD, HIDDEN),
        "ffn_down": (HIDDEN, FEED_FORWARD),
    }
    layers = {f"blk.{i}.{name}": shape for i in range(LAYERS) for name, shape in layer.items()}
    return {"token_embd": (vocab, HIDDEN), **layers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("type", type=lambda name: GGMLQuantizationType[name.upper()])
    parser.add_argument("out", type=Path)
    args = parser.parse_args()

    writer = GGUFWriter(args.out, "llama")
    writer.add_name(f"random-138M-{args.type.name}")
    writer.add_license("CC0-1.0")
    writer.add_file_type(LlamaFileType.GUESSED)
    writer.add_quantization_version(2)
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    vocab = copy_tokenizer(GGUFReader(args.tokenizer), writer)
    writer.add_vocab_size(vocab)

    random = np.random.default_rng(1)
    quantize = Ggml(args.type)
    for name, shape in shapes(vocab).items():
        weights = random.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[1]))
        writer.add_tensor(f"{name}.weight", quantize(weights), raw_dtype=args.type)
    ones = np.ones(HIDDEN, np.float32)
    for name in ["output_norm", *(f"blk.{i}.{n}_norm" for i in range(LAYERS) for n in ["attn", "ffn"])]:
        writer.add_tensor(f"{name}.weight", ones)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()

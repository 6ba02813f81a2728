"""Makes the exports that transformers.js loads of a GGUF file: fp32, q8 and q4, of its very weights.

    python export_onnx.py MODEL.gguf OUT        (packages: requirements.txt)

The weights are dequantised by transformers, exported by optimum, slimmed by onnxslim and quantised with
the default options of transformers.js's own conversion (huggingface/transformers.js, scripts/quantize.py):
q8 dynamic with int8 weights per tensor, q4 in symmetric blocks of 32.
"""

import argparse
import tempfile
from pathlib import Path

import onnx
import onnxslim
from onnxruntime.quantization import QuantizationMode, QuantType
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
from onnxruntime.quantization.registry import IntegerOpsRegistry
from optimum.exporters.onnx import main_export
from transformers import AutoModelForCausalLM, AutoTokenizer


def checkpoint(gguf: Path, directory: str) -> None:
    """Writes a Hugging Face checkpoint of the dequantised weights."""
    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    AutoModelForCausalLM.from_pretrained(**source).save_pretrained(directory)
    AutoTokenizer.from_pretrained(**source).save_pretrained(directory)


def quantize_q8(path: Path, to: Path) -> None:
    """Dynamic int8 of every operator that has such a form."""
    quantizer = ONNXQuantizer(
        onnx.load(path),
        per_channel=False,
        reduce_range=False,
        mode=QuantizationMode.IntegerOps,
        static=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=None,
        nodes_to_quantize=[],
        nodes_to_exclude=[],
        op_types_to_quantize=set(IntegerOpsRegistry),
        extra_options={"EnableSubgraph": True, "MatMulConstBOnly": True},
    )
    quantizer.quantize_model()
    onnx.save(quantizer.model.model, to)


def quantize_q4(path: Path, to: Path) -> None:
    """Four bits in symmetric blocks of 32."""
    quantizer = MatMulNBitsQuantizer(onnx.load(path), block_size=32, is_symmetric=True)
    quantizer.process()
    onnx.save(quantizer.model.model, to)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gguf", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        checkpoint(args.gguf.resolve(), directory)
        main_export(directory, args.out, task="text-generation-with-past")
    files = args.out / "onnx"
    files.mkdir(exist_ok=True)
    exported = args.out / "model.onnx"
    fp32 = files / "model.onnx"
    onnx.save(onnxslim.slim(onnx.load(exported)), fp32)
    for leftover in args.out.glob("model.onnx*"):
        leftover.unlink()
    quantize_q8(fp32, files / "model_quantized.onnx")
    quantize_q4(fp32, files / "model_q4.onnx")


if __name__ == "__main__":
    main()

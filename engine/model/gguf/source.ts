/** A GGUF file as a model. */
import { basename } from "node:path";
import { MdiError } from "../../../wasm/error.ts";
import { ggufTextAssets } from "../../text/gguf_tokenizer.ts";
import { checkWeights, decoderBlocks } from "../emit/decoder.ts";
import { fileInfo } from "../emit/file_range.ts";
import { readVector } from "../emit/vectors.ts";
import type { ModelSource, TextAssets } from "../types.ts";
import { ggufConfig } from "./config.ts";
import { GgufMetadata } from "./metadata.ts";
import { type GgufHeader, readGgufHeader } from "./reader.ts";
import { GgufWeights } from "./weights.ts";

/**
 * Opens a GGUF file of a Llama-like decoder. Nothing stays open between reads.
 * @throws {MdiError} model_missing, model_corrupt, model_unsupported
 */
export async function openGguf(
  path: string,
  options: { signal?: AbortSignal } = {},
): Promise<ModelSource> {
  const info = await fileInfo(path);
  const header = await readGgufHeader(path, options);
  const metadata = new GgufMetadata(header.metadata, path);
  const vocab = header.tensors.get("token_embd.weight")?.dims[1] ?? 0;
  const config = ggufConfig(metadata, {
    file: path,
    vocab,
    ropeFactors: await ropeFactors(path, header),
  });
  const weights = new GgufWeights(path, header.tensors, config);
  await checkWeights(config, weights);
  let text: TextAssets | undefined;
  return {
    kind: "gguf",
    name: basename(path),
    license: metadata.string("general.license") ?? null,
    config,
    // Made when it is wanted: a model that was cut before has its text in the store.
    get text() {
      return text ??= ggufTextAssets(header.metadata);
    },
    kvBytesPerTokenLayer: 2 * 4 * config.kvHeads * config.headDim,
    edges: new Array(config.layers + 1).fill("f32"),
    files: [info],
    blocks: () => decoderBlocks(config, weights),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** The divisors of the inverse frequencies (Llama 3), where the file has them. */
async function ropeFactors(path: string, header: GgufHeader): Promise<number[] | undefined> {
  const tensor = header.tensors.get("rope_freqs.weight");
  if (!tensor) return undefined;
  const [length = 0] = tensor.dims;
  const factors = length <= 1024
    ? [...await readVector(path, { type: tensor.type, offset: tensor.offset, length })]
    : [];
  if (tensor.dims.length !== 1 || factors.length === 0 || !factors.every((factor) => factor > 0)) {
    throw new MdiError(
      "model_corrupt",
      `Cannot use GGUF file ${path}: rope_freqs.weight has the shape [${
        tensor.dims.join(", ")
      }] and the factors ${factors.slice(0, 4).join(", ")} …`,
      { details: { file: path } },
    );
  }
  return factors;
}

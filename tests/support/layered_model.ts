/** Models of as many layers as a test wants, each of which computes in microseconds. */
import { TinyGguf } from "../../engine/model/gguf/_tiny_gguf.ts";

/** Positions that the model takes. */
const CONTEXT = 4096;

/** Writes a model whose layers are all the same. */
export async function layeredModel(layers: number): Promise<TinyGguf> {
  return await TinyGguf.write(() => "Q8_0", {
    metadata: { "$.block_count": [4, layers], "$.context_length": [4, CONTEXT] },
    edit: (tensors) =>
      tensors.flatMap((tensor) => {
        if (!tensor.name.startsWith("blk.0.")) return [tensor];
        return Array.from({ length: layers }, (_, layer) => ({
          ...tensor,
          name: tensor.name.replace("blk.0.", `blk.${layer}.`),
        }));
      }),
  });
}

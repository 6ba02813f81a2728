/** The graphs of a model's blocks as a node reads them, without the weights. */
import { type BlockLayout, planBlock } from "../../engine/model/block_writer.ts";
import { openModel } from "../../engine/model/open.ts";
import { readBlockHeader } from "../../wasm/block.ts";
import type { ModelProto } from "../../wasm/gen/onnx/onnx_pb.ts";

/** A model cut into blocks. */
export interface BlockGraphs {
  /** By the block's name. */
  models: Map<string, ModelProto>;
  /** How many layers it has. */
  layers: number;
}

/** Cuts a model file or directory. */
export async function blockGraphs(path: string): Promise<BlockGraphs> {
  await using source = await openModel(path);
  const layouts = new Map<string, BlockLayout>();
  const models = new Map<string, ModelProto>();
  for await (const recipe of source.blocks()) {
    const plan = planBlock(recipe, layouts);
    layouts.set(recipe.name, plan.layout);
    // The first chunk is all that comes before the weights.
    for await (const front of plan.chunks()) {
      const header = await readBlockHeader(
        recipe.name,
        (offset, length) => Promise.resolve(front.subarray(offset, offset + length)),
      );
      models.set(recipe.name, header.model);
      break;
    }
  }
  return { models, layers: source.config.layers };
}

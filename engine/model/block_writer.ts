/** Turns a recipe into the bytes of a block file (format: wasm/block.ts). */
import { clone, create, toBinary } from "@bufbuild/protobuf";
import {
  type ModelProto,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
} from "../../wasm/gen/onnx/onnx_pb.ts";
import {
  align,
  BLOCK_HEADER_BYTES,
  BLOCK_MAGIC,
  BLOCK_VERSION,
  type TensorLocation,
} from "../../wasm/block.ts";
import { MdiError } from "../../wasm/error.ts";
import type { BlockRecipe } from "./types.ts";

/** Where each of a block's own large tensors lies in its data section, by initializer name. */
export type BlockLayout = ReadonlyMap<string, TensorLocation>;

/** A block laid out and ready to be written. */
export interface BlockPlan {
  /** Size of the whole file in bytes. */
  bytes: number;
  /** Places of its tensors, for the recipes that refer to them. */
  layout: BlockLayout;
  /** Names of the blocks it refers to. */
  requires: string[];
  /** The file's bytes from the start, never more than a few MB at a time. */
  chunks(signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/**
 * Lays a block out.
 * @param earlier layouts of the blocks before it, by block name.
 * @throws {MdiError} internal where the recipe refers to a tensor that no earlier block holds.
 */
export function planBlock(
  recipe: BlockRecipe,
  earlier: ReadonlyMap<string, BlockLayout>,
): BlockPlan {
  const layout = new Map<string, TensorLocation>();
  let end = 0;
  for (const [name, data] of recipe.data) {
    const offset = align(end);
    layout.set(name, { block: "self", offset, length: data.bytes });
    end = offset + data.bytes;
  }
  const graph = toBinary(ModelProtoSchema, withLocations(recipe, layout, earlier));
  const dataOffset = align(BLOCK_HEADER_BYTES + graph.length);
  const head = new Uint8Array(dataOffset);
  head.set(BLOCK_MAGIC);
  const view = new DataView(head.buffer);
  view.setUint32(8, BLOCK_VERSION, true);
  view.setUint32(12, graph.length, true);
  head.set(graph, BLOCK_HEADER_BYTES);

  return {
    bytes: dataOffset + end,
    layout,
    requires: [...new Set([...recipe.elsewhere.values()].map(([block]) => block))],
    async *chunks(signal?: AbortSignal) {
      yield head;
      let at = 0;
      for (const [name, data] of recipe.data) {
        const { offset, length } = layout.get(name)!;
        if (offset > at) yield new Uint8Array(offset - at);
        let written = 0;
        for await (const chunk of data.chunks(signal)) {
          signal?.throwIfAborted();
          written += chunk.length;
          yield chunk;
        }
        if (written !== length) {
          throw new MdiError(
            "model_corrupt",
            `Cannot write tensor ${name} of block ${recipe.name}: expected ${length} bytes, got ${written}`,
          );
        }
        at = offset + length;
      }
    },
  };
}

function withLocations(
  recipe: BlockRecipe,
  layout: BlockLayout,
  earlier: ReadonlyMap<string, BlockLayout>,
): ModelProto {
  const model = clone(ModelProtoSchema, recipe.model);
  for (const tensor of model.graph?.initializer ?? []) {
    let place = layout.get(tensor.name);
    const other = recipe.elsewhere.get(tensor.name);
    if (other) {
      const there = earlier.get(other[0])?.get(other[1]);
      if (!there) {
        throw new MdiError(
          "internal",
          `Cannot place tensor ${tensor.name} of block ${recipe.name}: block ${
            other[0]
          } has no tensor ${other[1]}`,
        );
      }
      place = { ...there, block: other[0] };
    }
    if (!place) continue;
    tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
    tensor.rawData = new Uint8Array(0);
    tensor.externalData = Object.entries({
      location: place.block,
      offset: place.offset,
      length: place.length,
    }).map(([key, value]) => create(StringStringEntryProtoSchema, { key, value: String(value) }));
  }
  return model;
}

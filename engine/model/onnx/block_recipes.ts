/**
 * Makes recipes of a cut graph: places every initializer in the block that stores it and gives the
 * values of each block short names of its own, so that equal blocks of two models are equal bytes.
 */
import { create } from "@bufbuild/protobuf";
import {
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type OperatorSetIdProto,
  type TensorProto,
  TensorProtoSchema,
} from "../../../wasm/gen/onnx/onnx_pb.ts";
import type { BlockRecipe, TensorData } from "../types.ts";
import type { Graph } from "./graph.ts";
import { rawTensor } from "./raw_tensor.ts";
import { INLINE_BYTES } from "./read_onnx_file.ts";
import type { BlockSlice } from "./slice_block.ts";
import type { SlicedGraph, SliceSizes } from "./slice_graph.ts";
import { tensorBytes } from "./tensor_type.ts";
import { firstReaders, summarizeWeights } from "./weight_summary.ts";

/** An initializer up to this size is repeated in every block that reads it. */
const SHARED_BYTES = 4096;

/** A decoder cut, with the bytes of its large initializers by name. */
export interface CutModel {
  /** The whole model: versions and operator sets are taken from it. */
  model: ModelProto;
  /** Its cut graph. */
  sliced: SlicedGraph;
  /** Sizes of the blocks' tensors. */
  sizes: SliceSizes;
  /** Bytes of initializers that are not in the model itself. */
  data: ReadonlyMap<string, TensorData>;
}

/** Makes the recipes in order: shared (where there is one), embed, layer.0 …, head. */
export function blockRecipes({ model, sliced, sizes, data }: CutModel): BlockRecipe[] {
  const initializers = sliced.graph.initializers;
  const slices = sliced.blocks(sizes);
  const homes = placeInitializers(slices, initializers);
  const shared = [...homes].filter(([, home]) => home === "shared").map(([name]) => name);
  const writer = new RecipeWriter(model, sliced.graph, homes, data);
  const recipes: BlockRecipe[] = [];
  if (shared.length > 0) recipes.push(writer.sharedBlock(shared));
  for (const slice of slices) recipes.push(writer.block(slice));
  return recipes;
}

/** Which block stores an initializer that several read. */
function placeInitializers(
  slices: readonly BlockSlice[],
  initializers: ReadonlyMap<string, TensorProto>,
): Map<string, "shared" | "embed"> {
  const readers = new Map<string, string[]>();
  for (const { name, nodes } of slices) {
    for (const value of new Set(nodes.flatMap((node) => node.input))) {
      const tensor = initializers.get(value);
      if (tensor && tensorBytes(tensor) > SHARED_BYTES) {
        readers.set(value, [...readers.get(value) ?? [], name]);
      }
    }
  }
  const homes = new Map<string, "shared" | "embed">();
  for (const [value, names] of readers) {
    if (names.length < 2) continue;
    homes.set(value, names.some((name) => name.startsWith("layer.")) ? "shared" : "embed");
  }
  return homes;
}

class RecipeWriter {
  readonly #model: ModelProto;
  readonly #initializers: ReadonlyMap<string, TensorProto>;
  readonly #homes: ReadonlyMap<string, "shared" | "embed">;
  readonly #data: ReadonlyMap<string, TensorData>;
  readonly #readers: ReturnType<typeof firstReaders>;
  /** Name of a stored initializer in its home. */
  readonly #stored = new Map<string, string>();

  constructor(
    model: ModelProto,
    graph: Graph,
    homes: ReadonlyMap<string, "shared" | "embed">,
    data: ReadonlyMap<string, TensorData>,
  ) {
    this.#model = model;
    this.#initializers = graph.initializers;
    this.#readers = firstReaders(graph.nodes);
    this.#homes = homes;
    this.#data = data;
  }

  sharedBlock(names: string[]): BlockRecipe {
    const slice: BlockSlice = {
      name: "shared",
      nodes: [],
      inputs: [],
      outputs: [],
      names: new Map(),
      constants: new Map(),
    };
    return this.block(slice, names);
  }

  block(slice: BlockSlice, initializers = initializersOf(slice, this.#initializers)): BlockRecipe {
    const recipe: BlockRecipe = {
      name: slice.name,
      model: create(ModelProtoSchema),
      data: new Map(),
      elsewhere: new Map(),
      ...summarizeWeights(
        initializers.flatMap((name) => this.#storedIn(name, slice.name)),
        this.#readers,
      ),
    };
    const names = new Map(slice.names);
    const tensors: TensorProto[] = [];
    for (const [i, name] of initializers.entries()) {
      names.set(name, `w${i}`);
      const tensor = slice.constants.get(name) ?? this.#initializers.get(name)!;
      tensors.push(this.#place(recipe, tensor, `w${i}`));
    }
    recipe.model = create(ModelProtoSchema, {
      irVersion: this.#model.irVersion,
      opsetImport: usedOperatorSets(this.#model.opsetImport, slice.nodes),
      producerName: "mdi",
      graph: create(GraphProtoSchema, {
        name: slice.nodes.length > 0 ? "block" : "shared",
        node: renamedNodes(slice.nodes, names),
        initializer: tensors,
        input: slice.inputs,
        output: slice.outputs,
      }),
    });
    return recipe;
  }

  /** The initializer itself where the block stores it. */
  #storedIn(initializer: string, block: string): TensorProto[] {
    const tensor = this.#initializers.get(initializer);
    return tensor && (this.#homes.get(initializer) ?? block) === block ? [tensor] : [];
  }

  /** Puts an initializer's bytes into the graph, the recipe's data or another block. */
  #place(recipe: BlockRecipe, tensor: TensorProto, name: string): TensorProto {
    const home = this.#homes.get(tensor.name);
    const data = this.#data.get(tensor.name) ??
      (tensor.rawData.length > INLINE_BYTES ? memoryData(tensor.rawData) : undefined);
    if (home && home !== recipe.name) {
      recipe.elsewhere.set(name, [home, this.#stored.get(tensor.name)!]);
    } else if (data) {
      recipe.data.set(name, data);
    } else {
      return rawTensor(tensor, name);
    }
    if (home === recipe.name) this.#stored.set(tensor.name, name);
    return create(TensorProtoSchema, { name, dims: tensor.dims, dataType: tensor.dataType });
  }
}

/** Initializers in the order in which the nodes read them. */
function initializersOf(
  { nodes, constants }: BlockSlice,
  initializers: ReadonlyMap<string, TensorProto>,
): string[] {
  const read = nodes.flatMap((node) => node.input);
  return [...new Set(read)].filter((value) => initializers.has(value) || constants.has(value));
}

function renamedNodes(
  nodes: readonly NodeProto[],
  known: ReadonlyMap<string, string>,
): NodeProto[] {
  const names = new Map(known);
  let next = 0;
  const rename = (value: string) => {
    if (value === "") return "";
    const name = names.get(value) ?? `v${next++}`;
    names.set(value, name);
    return name;
  };
  return nodes.map((node, i) =>
    create(NodeProtoSchema, {
      opType: node.opType,
      domain: node.domain === "ai.onnx" ? "" : node.domain,
      overload: node.overload,
      name: `${node.opType}_${i}`,
      input: node.input.map(rename),
      output: node.output.map(rename),
      attribute: node.attribute,
    })
  );
}

function usedOperatorSets(
  opsets: readonly OperatorSetIdProto[],
  nodes: readonly NodeProto[],
): OperatorSetIdProto[] {
  const used = new Set(["", ...nodes.map((node) => node.domain)].map(plainDomain));
  return opsets.filter((opset) => used.has(plainDomain(opset.domain)));
}

function plainDomain(domain: string): string {
  return domain === "ai.onnx" ? "" : domain;
}

function memoryData(bytes: Uint8Array): TensorData {
  return {
    bytes: bytes.length,
    async *chunks() {
      yield bytes;
    },
  };
}

/**
 * Which bytes each weight of a stage's graph is made of, and the rewriting of products with quantised
 * weights. Pure: the bytes themselves are read by the caller.
 */
import { create } from "@bufbuild/protobuf";
import {
  type ModelProto,
  type NodeProto,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  type TensorProto_DataType,
  TensorProtoSchema,
} from "../gen/onnx/onnx_pb.ts";
import { type TensorLocation, tensorLocation, type TensorSource } from "../block.ts";
import { MdiError } from "../error.ts";
import { asProduct } from "./product.ts";

/**
 * How products with a quantised weight are computed. ONNX Runtime's WASM build has no SIMD path for
 * 4-bit and 8-bit weights, so "packed" is 10 to 25 times slower than "expanded" to f32.
 */
export type WeightForm = "expanded" | "packed";

/** One weight as the session wants it. */
export interface WeightJob {
  /** The initializer's name, which is also its external location. */
  name: string;
  /** Bytes of the result. */
  bytes: number;
  /** What it is made from. */
  sources: TensorSource[];
  /** Makes the result from the sources' bytes; absent where the only source is the result. */
  make?(parts: readonly Uint8Array[], out: Uint8Array): void;
}

/** A graph and the weights it needs. */
export interface WeightPlan {
  model: ModelProto;
  jobs: WeightJob[];
  /** Bytes of the weights that were quantised and are now f32. */
  expandedBytes: number;
  /** Bytes of the weights that stay quantised. */
  packedBytes: number;
}

/**
 * Rewrites a joined graph (see join.ts) and lists its weights.
 * @throws {MdiError} model_unsupported, model_corrupt
 */
export function planWeights(model: ModelProto, form: WeightForm): WeightPlan {
  const graph = model.graph!;
  const initializers = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const source = (name: string): TensorSource => {
    const tensor = initializers.get(name);
    if (!tensor) {
      throw new MdiError(
        "model_unsupported",
        `Cannot use weight ${name}: it is computed, not constant`,
      );
    }
    const place = tensorLocation(tensor);
    return place ? blockPlace(tensor.name, place) : tensor.rawData;
  };
  const made = new Map<string, WeightJob>();
  const nodes: NodeProto[] = [];
  let expandedBytes = 0;
  let packedBytes = 0;

  for (const node of graph.node) {
    const product = asProduct(node, source);
    const chosen = product && (form === "packed" && product.packed || product.expanded);
    if (!product || !chosen || chosen === "as it is") {
      if (product) packedBytes += product.sources.reduce((sum, { length }) => sum + length, 0);
      nodes.push(node);
      continue;
    }
    const names = chosen.tensors.map(({ suffix, dims, type, bytes, make }) => {
      const name = `${product.weight}:${suffix}`;
      // A tied weight is made once.
      if (!made.has(name)) {
        made.set(name, { name, bytes, sources: product.sources, make });
        initializers.set(name, externalTensor(name, dims, type, bytes));
        if (chosen === product.expanded) expandedBytes += bytes;
        else packedBytes += bytes;
      }
      return name;
    });
    nodes.push(...chosen.nodes(names));
  }

  const used = new Set(nodes.flatMap((node) => node.input));
  graph.node = nodes;
  graph.initializer = [...initializers.values()].filter((tensor) => used.has(tensor.name));
  const jobs = [...made.values()];
  for (const tensor of graph.initializer) {
    const place = tensorLocation(tensor);
    if (!place || made.has(tensor.name)) continue;
    jobs.push({
      name: tensor.name,
      bytes: place.length,
      sources: [blockPlace(tensor.name, place)],
    });
    setExternal(tensor, place.length);
  }
  declareOperators(model);
  return { model, jobs, expandedBytes, packedBytes };
}

/** mdi's own operators are gone, and ONNX Runtime's may be new. */
function declareOperators(model: ModelProto): void {
  const contrib = "com.microsoft";
  const needed = model.graph!.node.some((node) => node.domain === contrib);
  model.opsetImport = model.opsetImport.filter(({ domain }) =>
    domain !== "mdi" && domain !== contrib
  );
  if (needed) {
    model.opsetImport.push(
      create(OperatorSetIdProtoSchema, { domain: contrib, version: 1n }),
    );
  }
}

/** join.ts named the initializer "block@offset"; its own location may still say "self". */
function blockPlace(name: string, place: TensorLocation): TensorLocation {
  return { ...place, block: name.slice(0, name.lastIndexOf("@")) };
}

function externalTensor(
  name: string,
  dims: number[],
  dataType: TensorProto_DataType,
  bytes: number,
): TensorProto {
  const tensor = create(TensorProtoSchema, { name, dims: dims.map(BigInt), dataType });
  setExternal(tensor, bytes);
  return tensor;
}

function setExternal(tensor: TensorProto, bytes: number): void {
  tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
  tensor.externalData = Object.entries({ location: tensor.name, offset: 0, length: bytes })
    .map(([key, value]) => create(StringStringEntryProtoSchema, { key, value: String(value) }));
}

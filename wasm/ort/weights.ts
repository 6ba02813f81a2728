/**
 * Which bytes each weight of a stage's graph is made of, and the rewriting that replaces quantised
 * products by plain ones. ONNX Runtime's WASM build has no SIMD path for 4-bit and 8-bit block weights
 * (about 25 times slower than fp32), so they are expanded to f32 where memory allows. Pure: the bytes
 * themselves are read by the caller.
 */
import { create } from "@bufbuild/protobuf";
import {
  type ModelProto,
  type NodeProto,
  NodeProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProto_DataType,
  TensorProtoSchema,
} from "../gen/onnx/onnx_pb.ts";
import { type TensorLocation, tensorLocation } from "../block.ts";
import { MdiError } from "../error.ts";
import { GGUF_TYPES, type GgufType, isGgufType, rowBytes } from "../gguf/types.ts";
import { dequantiseTransposed } from "../gguf/dequantise.ts";
import { dequantiseNBits, type NBitsShape } from "./nbits.ts";

/** Bytes of a tensor: inline in the graph, or a place in a block's file. */
export type TensorSource = Uint8Array | TensorLocation;

/** One weight as the session wants it. */
export interface WeightJob {
  /** The initializer's name, which is also its external location. */
  name: string;
  /** Bytes of the result. */
  bytes: number;
  /** What it is made from. */
  sources: TensorSource[];
  /** Makes the result from the sources' bytes; absent where the only source is the result. */
  make?(parts: Uint8Array[]): Float32Array<ArrayBuffer>;
}

/** A graph and the weights it needs. */
export interface WeightPlan {
  model: ModelProto;
  jobs: WeightJob[];
  /** Bytes of the weights that were quantised and are now f32. */
  expandedBytes: number;
}

/** A product with a block-quantised constant: what it takes to replace it by MatMul. */
interface Product {
  k: number;
  n: number;
  half: boolean;
  sources: TensorSource[];
  make(parts: Uint8Array[]): Float32Array<ArrayBuffer>;
}

/**
 * Rewrites a joined graph (see join.ts) and lists its weights.
 * @param expand whether MatMulNBits becomes MatMul; mdi's own MatMulGguf always does.
 * @throws {MdiError} model_unsupported, model_corrupt
 */
export function planWeights(model: ModelProto, options: { expand: boolean }): WeightPlan {
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
    return sourceOf(tensor);
  };
  const jobs: WeightJob[] = [];
  const nodes: NodeProto[] = [];
  /** Expanded weights by their first source's name: a tied weight is expanded once. */
  const expanded = new Map<string, string>();
  let expandedBytes = 0;

  for (const node of graph.node) {
    const product = asProduct(node, source, options.expand);
    if (!product) {
      nodes.push(node);
      continue;
    }
    const weight = node.input[1]!;
    const name = `${weight}:f32`;
    if (!expanded.has(weight)) {
      const bytes = product.n * product.k * 4;
      expanded.set(weight, name);
      expandedBytes += bytes;
      initializers.set(name, externalTensor(name, [product.k, product.n], bytes));
      jobs.push({ name, bytes, sources: product.sources, make: product.make });
    }
    nodes.push(...asMatMul(node, name, product.half));
  }

  const used = new Set(nodes.flatMap((node) => node.input));
  graph.node = nodes;
  graph.initializer = [...initializers.values()].filter((tensor) => used.has(tensor.name));
  const made = new Set(jobs.map((job) => job.name));
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
  if (options.expand || jobs.some((job) => job.make)) {
    model.opsetImport = model.opsetImport.filter((opset) => opset.domain !== "mdi");
  }
  return { model, jobs, expandedBytes };
}

/** Bytes that all quantised products of a graph take as f32. */
export function expandedBytesOf(model: ModelProto): number {
  let bytes = 0;
  for (const node of model.graph?.node ?? []) {
    if (node.opType !== "MatMulNBits" && node.opType !== "MatMulGguf") continue;
    bytes += 4 * attribute(node, "K") * attribute(node, "N");
  }
  return bytes;
}

function asProduct(
  node: NodeProto,
  source: (name: string) => TensorSource,
  expand: boolean,
): Product | undefined {
  if (node.domain === "mdi" && node.opType === "MatMulGguf") {
    const type = ggufType(node);
    const k = attribute(node, "K");
    const n = attribute(node, "N");
    const weight = source(node.input[1]!);
    expectLength(node, weight, n * rowBytes(type, k));
    return {
      k,
      n,
      half: false,
      sources: [weight],
      make([bytes]) {
        const out = new Float32Array(n * k);
        dequantiseTransposed(type, bytes!, n, k, out);
        return out;
      },
    };
  }
  if (!expand || node.domain !== "com.microsoft" || node.opType !== "MatMulNBits") return undefined;
  if ((node.input[4] ?? "") !== "" || (node.input[5] ?? "") !== "") return undefined;
  const shape: NBitsShape = {
    k: attribute(node, "K"),
    n: attribute(node, "N"),
    bits: attribute(node, "bits"),
    blockSize: attribute(node, "block_size"),
  };
  if (shape.bits !== 4 && shape.bits !== 8) return undefined;
  const names = node.input.slice(1, 4).filter((name) => name !== "");
  const sources = names.map(source);
  const scaleBytes = lengthOf(sources[1]!);
  const scales = shape.n * Math.ceil(shape.k / shape.blockSize);
  return {
    ...shape,
    half: scaleBytes === 2 * scales,
    sources,
    make: ([codes, scale, zeros]) => dequantiseNBits(shape, codes!, scale!, zeros),
  };
}

/** MatMul over the expanded weight; in a half-precision graph between two casts. */
function asMatMul(node: NodeProto, weight: string, half: boolean): NodeProto[] {
  const input = node.input[0]!;
  const output = node.output[0]!;
  const matmul = (a: string, y: string) =>
    create(NodeProtoSchema, { opType: "MatMul", name: node.name, input: [a, weight], output: [y] });
  if (!half) return [matmul(input, output)];
  return [
    cast(`${node.name}/in`, input, `${output}:in`, TensorProto_DataType.FLOAT),
    matmul(`${output}:in`, `${output}:out`),
    cast(`${node.name}/out`, `${output}:out`, output, TensorProto_DataType.FLOAT16),
  ];
}

function cast(name: string, input: string, output: string, to: number): NodeProto {
  return create(NodeProtoSchema, {
    opType: "Cast",
    name,
    input: [input],
    output: [output],
    attribute: [{ name: "to", type: 2, i: BigInt(to) }],
  });
}

/** The GGUF tensor type that one of mdi's own operators names. */
export function ggufType(node: NodeProto): GgufType {
  const bytes = node.attribute.find((attribute) => attribute.name === "type")?.s;
  const type = new TextDecoder().decode(bytes);
  if (!isGgufType(type)) {
    throw new MdiError(
      "model_unsupported",
      `Cannot run ${node.name}: weight type "${type}" is none of ${
        Object.keys(GGUF_TYPES).join(", ")
      }`,
    );
  }
  return type;
}

/** A positive whole-number attribute of a node. */
export function attribute(node: NodeProto, name: string): number {
  const value = Number(node.attribute.find((attribute) => attribute.name === name)?.i ?? 0n);
  if (!Number.isSafeInteger(value) || value <= 0 || value > 2 ** 31) {
    throw new MdiError(
      "model_corrupt",
      `Cannot run ${node.opType} ${node.name}: ${name} is ${value}`,
    );
  }
  return value;
}

function sourceOf(tensor: TensorProto): TensorSource {
  const place = tensorLocation(tensor);
  return place ? blockPlace(tensor.name, place) : tensor.rawData;
}

/** join.ts named the initializer "block@offset"; its own location may still say "self". */
function blockPlace(name: string, place: TensorLocation): TensorLocation {
  return { ...place, block: name.slice(0, name.lastIndexOf("@")) };
}

function lengthOf(source: TensorSource): number {
  return source.length;
}

function expectLength(node: NodeProto, source: TensorSource, bytes: number): void {
  if (lengthOf(source) === bytes) return;
  throw new MdiError(
    "model_corrupt",
    `Cannot run ${node.name}: its weight has ${
      lengthOf(source)
    } bytes where its shape needs ${bytes}`,
  );
}

function externalTensor(name: string, dims: number[], bytes: number): TensorProto {
  const tensor = create(TensorProtoSchema, {
    name,
    dims: dims.map(BigInt),
    dataType: TensorProto_DataType.FLOAT,
  });
  setExternal(tensor, bytes);
  return tensor;
}

function setExternal(tensor: TensorProto, bytes: number): void {
  tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
  tensor.externalData = Object.entries({ location: tensor.name, offset: 0, length: bytes })
    .map(([key, value]) => create(StringStringEntryProtoSchema, { key, value: String(value) }));
}

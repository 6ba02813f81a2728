/** A block's graph by its values, as recognition walks it: from an output back to what it is made of. */
import {
  type ModelProto,
  type NodeProto,
  type TensorProto,
  TensorProto_DataType as DataType,
} from "../gen/onnx/onnx_pb.ts";
import { tensorLocation, type TensorSource } from "../block.ts";
import { MdiError } from "../error.ts";
import type { Vector } from "./decoder.ts";

/** What a graph has that the kernels do not compute: a predicate whose subject is the block. */
export class Mismatch extends Error {
  override readonly name = "Mismatch";
}

/** Bytes of an element; 4-bit types are missing, as they share bytes. */
const ELEMENT_BYTES: ReadonlyMap<number, number> = new Map([
  [DataType.FLOAT, 4],
  [DataType.UINT8, 1],
  [DataType.INT8, 1],
  [DataType.INT32, 4],
  [DataType.INT64, 8],
  [DataType.BOOL, 1],
  [DataType.FLOAT16, 2],
  [DataType.DOUBLE, 8],
  [DataType.BFLOAT16, 2],
]);

const FLOAT_NAMES: ReadonlyMap<number, Vector["dtype"]> = new Map([
  [DataType.FLOAT, "f32"],
  [DataType.FLOAT16, "f16"],
  [DataType.BFLOAT16, "bf16"],
]);

const FLOATS: ReadonlySet<number> = new Set([...FLOAT_NAMES.keys(), DataType.DOUBLE]);

/** A floating-point constant: its values' type and where they lie. */
export interface FloatConstant {
  dims: number[];
  /** Product of `dims`. */
  length: number;
  dtype: Vector["dtype"];
  source: TensorSource;
}

/** A block's graph. Casts between floating-point types and Identity are not seen. */
export class GraphView {
  /** The block's name in its manifest. */
  readonly block: string;
  /** Names of the graph's inputs. */
  readonly inputs: ReadonlySet<string>;
  /** Names of the graph's outputs. */
  readonly outputs: ReadonlySet<string>;
  /** In the order of their dependencies. */
  readonly nodes: readonly NodeProto[];
  readonly #model: ModelProto;
  readonly #producers = new Map<string, NodeProto>();
  readonly #constants = new Map<string, TensorProto>();

  /** @throws {MdiError} model_corrupt where a value is missing, made twice or used before it is made. */
  constructor(block: string, model: ModelProto) {
    this.block = block;
    this.#model = model;
    const graph = model.graph;
    if (!graph) throw this.corrupt("it has no graph");
    for (const tensor of graph.initializer) this.#constants.set(tensor.name, tensor);
    this.inputs = new Set(
      graph.input.map(({ name }) => name).filter((name) => !this.#constants.has(name)),
    );
    this.outputs = new Set(graph.output.map(({ name }) => name));
    this.nodes = graph.node;
    const known = (value: string) =>
      value === "" || this.inputs.has(value) || this.#constants.has(value) ||
      this.#producers.has(value);
    for (const node of graph.node) {
      const missing = node.input.find((value) => !known(value));
      if (missing !== undefined) {
        throw this.corrupt(`${operator(node)} reads "${missing}", which nothing has made yet`);
      }
      for (const value of node.output) {
        if (value === "") continue;
        if (known(value)) throw this.corrupt(`${operator(node)} makes "${value}" a second time`);
        this.#producers.set(value, node);
      }
    }
    for (const output of this.outputs) {
      if (!known(output)) throw this.corrupt(`nothing makes its output "${output}"`);
    }
  }

  /** The initializers. */
  get constants(): Iterable<TensorProto> {
    return this.#constants.values();
  }

  /** An error for a graph that no runtime could run. */
  corrupt(why: string): MdiError {
    return new MdiError("model_corrupt", `Cannot read the graph of block ${this.block}: ${why}`, {
      details: { block: this.block },
    });
  }

  /** The value itself, behind casts between floating-point types. */
  origin(value: string): string {
    for (;;) {
      const node = this.#producers.get(value);
      if (!node || !keepsValue(node)) return value;
      value = node.input[0]!;
    }
  }

  /** The node that makes a value, behind casts. */
  producer(value: string): NodeProto | undefined {
    return this.#producers.get(this.origin(value));
  }

  /** The node that makes a value, where it is one of the operators (see {@linkcode operator}). */
  made(value: string, ...operators: string[]): NodeProto | undefined {
    const node = this.producer(value);
    return node && operators.includes(operator(node)) ? node : undefined;
  }

  /** The node that makes a value itself. */
  nodeOf(value: string): NodeProto | undefined {
    return this.#producers.get(value);
  }

  /** The constant behind casts; undefined where the value is computed or an input. */
  constant(value: string): TensorProto | undefined {
    return this.#constants.get(this.origin(value));
  }

  /** A tensor's shape. */
  dims(tensor: TensorProto): number[] {
    return tensor.dims.map((dim) => {
      const size = Number(dim);
      if (!Number.isSafeInteger(size) || size < 0) {
        throw this.corrupt(`initializer "${tensor.name}" has a dimension of ${dim}`);
      }
      return size;
    });
  }

  /**
   * Where a tensor's bytes lie; "self" becomes the block's name.
   * @throws {MdiError} model_corrupt where their number is not `bytes`.
   */
  source(tensor: TensorProto, bytes = this.#bytes(tensor)): TensorSource {
    const place = tensorLocation(tensor);
    const source = place
      ? { ...place, block: place.block === "self" ? this.block : place.block }
      : tensor.rawData;
    if (source.length !== bytes) {
      throw this.corrupt(
        `initializer "${tensor.name}" has ${source.length} bytes where its shape needs ${bytes}`,
      );
    }
    return source;
  }

  /** A constant of f32, f16 or bf16; undefined where it is none. */
  floats(value: string): FloatConstant | undefined {
    const tensor = this.constant(value);
    const dtype = tensor && FLOAT_NAMES.get(tensor.dataType);
    if (!tensor || !dtype) return undefined;
    const dims = this.dims(tensor);
    return { dims, length: product(dims), dtype, source: this.source(tensor) };
  }

  /** A constant of `length` values along its last dimension; undefined where it is none. */
  vector(value: string, length: number): Vector | undefined {
    const found = this.floats(value);
    if (!found || found.length !== length || (found.dims.at(-1) ?? 1) !== length) return undefined;
    return { length, dtype: found.dtype, source: found.source };
  }

  /** A constant's only value; undefined where it has several or lies outside of the graph. */
  scalar(value: string): number | undefined {
    const tensor = this.constant(value);
    if (!tensor || product(this.dims(tensor)) !== 1) return undefined;
    return this.values(value)?.[0];
  }

  /** A constant's values; undefined where it is none or lies outside of the graph. */
  values(value: string): number[] | undefined {
    const tensor = this.constant(value);
    if (!tensor || tensor.externalData.length > 0) return undefined;
    return numbersOf(tensor.dataType, this.source(tensor) as Uint8Array);
  }

  /** The shape that an input declares; a dimension without a number is undefined. */
  inputDims(name: string): (number | undefined)[] | undefined {
    const type = this.#model.graph!.input.find((input) => input.name === name)?.type?.value;
    if (type?.case !== "tensorType") return undefined;
    return type.value.shape?.dim.map(({ value }) =>
      value.case === "dimValue" ? Number(value.value) : undefined
    );
  }

  #bytes(tensor: TensorProto): number {
    const each = ELEMENT_BYTES.get(tensor.dataType);
    if (each === undefined) {
      throw new Mismatch(`has a constant of ${DataType[tensor.dataType] ?? "an unknown type"}`);
    }
    return each * product(this.dims(tensor));
  }
}

/** An operator's name, with its domain where that is not ONNX's own. */
export function operator(node: NodeProto): string {
  return node.domain === "" || node.domain === "ai.onnx"
    ? node.opType
    : `${node.domain}.${node.opType}`;
}

/** A whole-number attribute, or what it is where the node does not say. */
export function intAttribute(node: NodeProto, name: string, otherwise: number): number {
  const found = node.attribute.find((attribute) => attribute.name === name);
  return found ? Number(found.i) : otherwise;
}

/** A floating-point attribute, or what it is where the node does not say. */
export function floatAttribute(node: NodeProto, name: string, otherwise: number): number {
  return node.attribute.find((attribute) => attribute.name === name)?.f ?? otherwise;
}

/** A text attribute; "" where the node does not say. */
export function textAttribute(node: NodeProto, name: string): string {
  return new TextDecoder().decode(node.attribute.find((attribute) => attribute.name === name)?.s);
}

/** A list of whole numbers; undefined where the node does not say. */
export function intsAttribute(node: NodeProto, name: string): number[] | undefined {
  return node.attribute.find((attribute) => attribute.name === name)?.ints.map(Number);
}

/** Product of sizes. */
export function product(sizes: readonly number[]): number {
  return sizes.reduce((all, size) => all * size, 1);
}

/** The elements of a tensor's bytes as numbers; undefined for a type that has none. */
export function numbersOf(dataType: number, bytes: Uint8Array): number[] | undefined {
  // A copy, because the bytes in a message need not be aligned.
  const { buffer } = bytes.slice();
  switch (dataType) {
    case DataType.FLOAT:
      return [...new Float32Array(buffer)];
    case DataType.FLOAT16:
      return [...new Float16Array(buffer)];
    case DataType.BFLOAT16:
      return [
        ...new Float32Array(Uint32Array.from(new Uint16Array(buffer), (bits) => bits << 16).buffer),
      ];
    case DataType.DOUBLE:
      return [...new Float64Array(buffer)];
    case DataType.INT64:
      return Array.from(new BigInt64Array(buffer), Number);
    case DataType.INT32:
      return [...new Int32Array(buffer)];
    case DataType.INT8:
      return [...new Int8Array(buffer)];
    case DataType.UINT8:
    case DataType.BOOL:
      return [...bytes];
  }
  return undefined;
}

function keepsValue(node: NodeProto): boolean {
  const name = operator(node);
  return name === "Identity" || (name === "Cast" && FLOATS.has(intAttribute(node, "to", 0)));
}

/** Writes a block's ONNX graph node by node. */
import { create } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProto_DataType,
  TensorProtoSchema,
} from "../../../wasm/gen/onnx/onnx_pb.ts";
import type { BlockRecipe, TensorData } from "../types.ts";
import { valueInfo } from "../value_info.ts";

/** An integer attribute is a bigint, a float attribute a number. */
export type Attribute = bigint | number | string;

/** Element type of a graph's input or output. */
export type ElementType = "FLOAT" | "INT64";

const IR_VERSION = 10n;
const OPSETS = { "": 21n, "com.microsoft": 1n, "mdi": 1n };

/** A block in the making: a graph, its weights and where they come from. */
export class GraphBuilder {
  readonly #graph = create(GraphProtoSchema);
  readonly #recipe: Omit<BlockRecipe, "model">;
  readonly #domains = new Set<string>([""]);

  /** Starts a block of the given name. */
  constructor(block: string) {
    this.#graph.name = block;
    this.#recipe = {
      name: block,
      data: new Map(),
      elsewhere: new Map(),
      parameters: 0,
      dtypes: [],
    };
  }

  /** Declares an input; a dimension is a number or the name of one that varies. */
  input(name: string, type: ElementType, dims: (number | string)[]): string {
    this.#graph.input.push(valueInfo(name, TensorProto_DataType[type], dims));
    return name;
  }

  /** Declares an output. */
  output(name: string, type: ElementType, dims: (number | string)[]): void {
    this.#graph.output.push(valueInfo(name, TensorProto_DataType[type], dims));
  }

  /**
   * Adds an operator with one output, or with `outputs` where it has more.
   * @returns the (first) output's name: `outputs[0]`, or `name`.
   */
  node(
    op: string,
    name: string,
    input: string[],
    options: { domain?: string; attributes?: Record<string, Attribute>; outputs?: string[] } = {},
  ): string {
    const { domain = "", attributes = {}, outputs = [name] } = options;
    this.#domains.add(domain);
    this.#graph.node.push(create(NodeProtoSchema, {
      opType: op,
      domain,
      name,
      input,
      output: outputs,
      attribute: Object.entries(attributes).map(([key, value]) => attribute(key, value)),
    }));
    return outputs[0]!;
  }

  /** Adds a small f32 constant whose bytes are in the graph; it counts as parameters. */
  vector(name: string, values: Float32Array): string {
    this.#recipe.parameters += values.length;
    return this.#inline(name, TensorProto_DataType.FLOAT, [values.length], values);
  }

  /** Adds an INT64 constant: a scalar, or a tensor of one dimension. */
  integers(name: string, values: bigint | bigint[]): string {
    const list = Array.isArray(values) ? values : [values];
    const dims = Array.isArray(values) ? [list.length] : [];
    return this.#inline(name, TensorProto_DataType.INT64, dims, BigInt64Array.from(list));
  }

  /** Adds a weight in bytes [n, row bytes] whose data the block holds; `dtype` names its format. */
  weight(
    name: string,
    options: { dims: number[]; data: TensorData; dtype: string; parameters: number },
  ): string {
    this.#external(name, TensorProto_DataType.UINT8, options.dims);
    this.#recipe.data.set(name, options.data);
    this.#recipe.parameters += options.parameters;
    if (!this.#recipe.dtypes.includes(options.dtype)) this.#recipe.dtypes.push(options.dtype);
    return name;
  }

  /** Adds an f32 table whose data the block holds, and that is no parameter. */
  table(name: string, dims: number[], data: TensorData): string {
    this.#external(name, TensorProto_DataType.FLOAT, dims);
    this.#recipe.data.set(name, data);
    return name;
  }

  /** Adds an initializer whose bytes another block holds under the name `there`. */
  borrowed(
    name: string,
    options: { type: "FLOAT" | "UINT8"; dims: number[]; block: string; there: string },
  ): string {
    this.#external(name, TensorProto_DataType[options.type], options.dims);
    this.#recipe.elsewhere.set(name, [options.block, options.there]);
    return name;
  }

  /** The finished block. */
  build(): BlockRecipe {
    const model = create(ModelProtoSchema, {
      irVersion: IR_VERSION,
      producerName: "mdi",
      opsetImport: Object.entries(OPSETS)
        .filter(([domain]) => this.#domains.has(domain))
        .map(([domain, version]) => create(OperatorSetIdProtoSchema, { domain, version })),
      graph: this.#graph,
    });
    return { ...this.#recipe, model };
  }

  #inline(
    name: string,
    dataType: TensorProto_DataType,
    dims: number[],
    values: Float32Array | BigInt64Array,
  ): string {
    const rawData = new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
    this.#graph.initializer.push(
      create(TensorProtoSchema, { name, dataType, dims: dims.map(BigInt), rawData }),
    );
    return name;
  }

  #external(name: string, dataType: TensorProto_DataType, dims: number[]): void {
    this.#graph.initializer.push(
      create(TensorProtoSchema, { name, dataType, dims: dims.map(BigInt) }),
    );
  }
}

function attribute(name: string, value: Attribute): AttributeProto {
  if (typeof value === "bigint") {
    return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.INT, i: value });
  }
  if (typeof value === "number") {
    return create(AttributeProtoSchema, {
      name,
      type: AttributeProto_AttributeType.FLOAT,
      f: value,
    });
  }
  return create(AttributeProtoSchema, {
    name,
    type: AttributeProto_AttributeType.STRING,
    s: new TextEncoder().encode(value),
  });
}

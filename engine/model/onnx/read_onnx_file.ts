/**
 * Reads an ONNX file by range: the graph into memory, large initializers as places in a file.
 *
 * The protobuf is walked field by field. What is small is kept as it is and parsed by the generated
 * code; the contents of a large tensor are stepped over. So an export with all its weights inline
 * costs no more memory than one with its weights beside it.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { basename } from "node:path";
import {
  type ModelProto,
  ModelProtoSchema,
  type TensorProto,
  TensorProto_DataLocation as DataLocation,
  TensorProtoSchema,
} from "../../../wasm/gen/onnx/onnx_pb.ts";
import { MdiError, messageOf } from "../../../wasm/error.ts";
import { type FileInfo, readRange } from "../emit/file_range.ts";
import type { ByteRange } from "./byte_range.ts";
import { ExternalData } from "./external_data.ts";
import { FileWindow } from "./file_window.ts";
import { rawTensor } from "./raw_tensor.ts";
import { tensorBytes } from "./tensor_type.ts";
import { type WireField, wireFields } from "./wire_fields.ts";

/** Tensors up to this size are kept in the graph: shapes, axes, scales, epsilons. */
export const INLINE_BYTES = 1024;
/** What may be kept of one file. Graphs of real models are below 10 MB. */
const MAX_KEPT_BYTES = 64 * 2 ** 20;
/** Fields that one file may have. Real ones have some ten thousand. */
const MAX_FIELDS = 4_000_000;

/** Field numbers of proto/onnx/onnx.proto. */
const MODEL_GRAPH = 7;
const MODEL_KEPT = new Set([1, 8, 25]); // ir_version, opset_import, functions
const GRAPH_INITIALIZER = 5;
const GRAPH_KEPT = new Set([1, 2, 11, 12, 13, 15]); // node, name, input, output, value_info, sparse_initializer
const TENSOR_RAW_DATA = 9;
/** float_data and double_data, packed, are the very bytes that raw_data would be. */
const TENSOR_FLAT_DATA = new Set([4, 10, TENSOR_RAW_DATA]);
const TENSOR_DOC_STRING = 12;

/** An ONNX file without its weights. */
export interface OnnxFile {
  /** The graph. A large initializer has no bytes in it and neither has its external_data. */
  model: ModelProto;
  /** Where the bytes of the large initializers lie, by name. */
  ranges: Map<string, ByteRange>;
  /** Files beside it that hold weights. */
  externalFiles: FileInfo[];
}

/**
 * Reads the graph of an ONNX file.
 * @throws {MdiError} model_missing, model_corrupt with the value met, or model_unsupported.
 */
export async function readOnnxFile(path: string, signal?: AbortSignal): Promise<OnnxFile> {
  const name = basename(path);
  let window: FileWindow;
  try {
    window = await FileWindow.open(path);
  } catch (cause) {
    throw new MdiError("model_missing", `Cannot open ${path}: ${messageOf(cause)}`, { cause });
  }
  using open = window;
  const reader = new GraphReader(path, open, signal);
  try {
    return await reader.read();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new MdiError(
      "model_corrupt",
      `Cannot read ${name} (${open.size} bytes) as an ONNX model: ${error.message}; fetch it again`,
      { cause: error, details: { file: name, bytes: open.size } },
    );
  }
}

class GraphReader {
  readonly #path: string;
  readonly #window: FileWindow;
  readonly #signal: AbortSignal | undefined;
  readonly #external: ExternalData;
  readonly #ranges = new Map<string, ByteRange>();
  readonly #initializers: TensorProto[] = [];
  #keptBytes = 0;
  #fields = 0;

  constructor(path: string, window: FileWindow, signal: AbortSignal | undefined) {
    this.#path = path;
    this.#window = window;
    this.#signal = signal;
    this.#external = new ExternalData(path);
  }

  async read(): Promise<OnnxFile> {
    const kept: Uint8Array[] = [];
    const graphParts: Uint8Array[] = [];
    let graphs = 0;
    for await (const field of this.#walk(0, this.#window.size)) {
      if (MODEL_KEPT.has(field.number)) kept.push(await this.#keep(field));
      if (field.number !== MODEL_GRAPH) continue;
      graphs++;
      await this.#readGraph(field, graphParts);
    }
    if (graphs !== 1) {
      throw new SyntaxError(`it has ${graphs} graphs`);
    }
    kept.push(
      new BinaryWriter().tag(MODEL_GRAPH, WireType.LengthDelimited).bytes(joined(graphParts))
        .finish(),
    );
    const model = this.#parse(() => fromBinary(ModelProtoSchema, joined(kept)));
    // A field before it of the wrong wire type may have swallowed the graph.
    if (!model.graph) throw new SyntaxError("its fields do not fit an ONNX model");
    model.graph.initializer = this.#initializers;
    return { model, ranges: this.#ranges, externalFiles: this.#external.files };
  }

  async #readGraph(graph: WireField, parts: Uint8Array[]): Promise<void> {
    if (graph.wireType !== WireType.LengthDelimited) {
      throw new SyntaxError("its graph is not a message");
    }
    for await (const field of this.#walk(graph.value, graph.end)) {
      if (GRAPH_KEPT.has(field.number)) parts.push(await this.#keep(field));
      if (field.number === GRAPH_INITIALIZER) await this.#readInitializer(field);
    }
  }

  async #readInitializer(field: WireField): Promise<void> {
    const parts: Uint8Array[] = [];
    let range: ByteRange | undefined;
    for await (const part of this.#walk(field.value, field.end)) {
      const length = part.end - part.value;
      const flat = TENSOR_FLAT_DATA.has(part.number) && part.wireType === WireType.LengthDelimited;
      if (flat && length > INLINE_BYTES) {
        if (range) {
          throw new SyntaxError(`an initializer at byte ${field.start} has its data twice`);
        }
        range = { path: this.#path, offset: part.value, length };
      } else if (part.number !== TENSOR_DOC_STRING) {
        parts.push(await this.#keep(part));
      }
    }
    const tensor = this.#parse(() => fromBinary(TensorProtoSchema, joined(parts)));
    if (tensor.name === "") {
      throw new SyntaxError(`an initializer at byte ${field.start} has no name`);
    }
    if (tensor.dataLocation === DataLocation.EXTERNAL) range = await this.#external.locate(tensor);
    if (range && range.length !== tensorBytes(tensor)) {
      throw new SyntaxError(
        `initializer "${tensor.name}" has ${range.length} bytes, its shape [${tensor.dims}] needs ${
          tensorBytes(tensor)
        }`,
      );
    }
    tensor.dataLocation = DataLocation.DEFAULT;
    tensor.externalData = [];
    if (range && range.length > INLINE_BYTES) {
      this.#ranges.set(tensor.name, range);
      this.#initializers.push(tensor);
      return;
    }
    if (range) {
      tensor.rawData = await readRange(range.path, range.offset, range.length);
    }
    this.#initializers.push(rawTensor(tensor));
  }

  async *#walk(start: number, end: number): AsyncGenerator<WireField> {
    for await (const field of wireFields(this.#window, start, end)) {
      if (++this.#fields > MAX_FIELDS) {
        throw new SyntaxError(`it has more than ${MAX_FIELDS} fields`);
      }
      if (this.#fields % 1024 === 0) this.#signal?.throwIfAborted();
      yield field;
    }
  }

  /** Copies a whole field, tag and all: protobuf messages are joined by joining their bytes. */
  async #keep(field: WireField): Promise<Uint8Array> {
    const length = field.end - field.start;
    this.#keptBytes += length;
    if (this.#keptBytes > MAX_KEPT_BYTES) {
      throw new MdiError(
        "model_unsupported",
        `Cannot read ${
          basename(this.#path)
        }: its graph without weights is larger than ${MAX_KEPT_BYTES} bytes (field ${field.number} at byte ${field.start} has ${length})`,
        { details: { bytes: this.#keptBytes } },
      );
    }
    const bytes = await this.#window.view(field.start, length);
    if (bytes.length < length) {
      throw new SyntaxError(`it ended at byte ${field.start + bytes.length}`);
    }
    return bytes.slice();
  }

  #parse<T>(parse: () => T): T {
    try {
      return parse();
    } catch (cause) {
      throw new SyntaxError(messageOf(cause));
    }
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

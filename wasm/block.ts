/**
 * The block file: a small ONNX graph and its weights, content-addressed by the sha256 of all its bytes.
 *
 *     offset 0   8 bytes  "MDIBLOCK"
 *            8   u32 LE   format version, 1
 *           12   u32 LE   G, the length of the graph
 *           16   G bytes  an ONNX ModelProto
 *     align 64   data     weights, each at a multiple of 64 bytes from the start of the data section
 *
 * A large tensor is an initializer with data_location EXTERNAL and the external_data keys `location`,
 * `offset` and `length` (decimal). `location` is "self" or the name of another block of the same
 * manifest ("shared", "embed"); `offset` counts from the start of that block's data section.
 *
 * Graph inputs and outputs have canonical names, all tensors with a leading batch dimension of 1:
 *
 *     embed   input_ids INT64 [1,T]                          -> hidden_out
 *     layer   hidden [1,T,d], past.key, past.value [1,KV,P,D],
 *             and, where the graph needs them, attention_mask INT64 [1,P+T], position_ids INT64 [1,T]
 *                                                            -> hidden_out, present.key, present.value
 *     head    hidden [1,T,d]                                 -> logits [1,T,vocab]
 *     shared  nothing; only initializers that several blocks use
 *
 * An edge between blocks is one row of 4·d bytes a token: either `hidden` FLOAT [1,T,d], or, where two
 * f16 tensors cross, `hidden.0` and `hidden.1` FLOAT16 [1,T,d] stored one after the other in the row.
 *
 * Beside ONNX and com.microsoft operators a graph may hold two of mdi's own (domain "mdi"), which keep
 * a weight in the bytes of its GGUF tensor type, row by row as GGUF stores it:
 *
 *     MatMulGguf(A f32 [1,T,K], W uint8 [N, bytes of a row]) {type, K, N} -> f32 [1,T,N] = A · Wᵀ
 *     GatherGguf(W uint8 [N, bytes of a row], ids int64 [1,T]) {type, K, N} -> f32 [1,T,K]
 */
import { fromBinary } from "@bufbuild/protobuf";
import { type ModelProto, ModelProtoSchema, type TensorProto } from "./gen/onnx/onnx_pb.ts";
import { MdiError, messageOf } from "./error.ts";

/** The first eight bytes of a block file. */
export const BLOCK_MAGIC = new TextEncoder().encode("MDIBLOCK");
/** The format version that this program writes and reads. */
export const BLOCK_VERSION = 1;
/** Bytes before the graph. */
export const BLOCK_HEADER_BYTES = 16;
/** Weights start at multiples of this. */
export const BLOCK_ALIGNMENT = 64;
/** A graph longer than this is refused: real ones are below 1 MB. */
const MAX_GRAPH_BYTES = 64 * 2 ** 20;

/** Rounds up to the next multiple of {@linkcode BLOCK_ALIGNMENT}. */
export function align(offset: number): number {
  return Math.ceil(offset / BLOCK_ALIGNMENT) * BLOCK_ALIGNMENT;
}

/** Where a tensor's bytes lie: in which block, and where in its data section. */
export interface TensorLocation {
  /** "self" or the name of another block of the manifest. */
  block: string;
  /** Bytes from the start of that block's data section. */
  offset: number;
  /** Bytes. */
  length: number;
}

/** Bytes of a tensor: inline in the graph, or a place in a block's file. */
export type TensorSource = Uint8Array | TensorLocation;

/** A block's parsed front part. */
export interface BlockHeader {
  /** The graph with its external tensors. */
  model: ModelProto;
  /** Where the data section starts in the file. */
  dataOffset: number;
}

/** Reads `length` bytes at `offset`; fewer only where the file ends. */
export type RangeReader = (offset: number, length: number) => Promise<Uint8Array>;

/**
 * Reads the header and the graph of a block file.
 * @throws {MdiError} model_corrupt where the bytes are not a block.
 */
export async function readBlockHeader(name: string, read: RangeReader): Promise<BlockHeader> {
  const corrupt = (why: string, cause?: unknown) =>
    new MdiError("model_corrupt", `Cannot read block ${name}: ${why}; run "mdi store verify"`, {
      cause,
      details: { block: name },
    });
  const head = await read(0, BLOCK_HEADER_BYTES);
  if (head.length < BLOCK_HEADER_BYTES || BLOCK_MAGIC.some((b, i) => head[i] !== b)) {
    throw corrupt("it does not start with a block header");
  }
  const view = new DataView(head.buffer, head.byteOffset);
  const version = view.getUint32(8, true);
  const graphBytes = view.getUint32(12, true);
  if (version !== BLOCK_VERSION) {
    throw corrupt(`its format version is ${version}, not ${BLOCK_VERSION}`);
  }
  if (graphBytes > MAX_GRAPH_BYTES) throw corrupt(`its graph of ${graphBytes} bytes is too long`);
  const bytes = await read(BLOCK_HEADER_BYTES, graphBytes);
  if (bytes.length < graphBytes) throw corrupt("it ends inside its graph");
  try {
    return {
      model: fromBinary(ModelProtoSchema, bytes),
      dataOffset: align(BLOCK_HEADER_BYTES + graphBytes),
    };
  } catch (cause) {
    throw corrupt(`its graph is not a ModelProto (${messageOf(cause)})`, cause);
  }
}

/** Where a block's initializer lies, or undefined where its bytes are inline. */
export function tensorLocation(tensor: TensorProto): TensorLocation | undefined {
  if (tensor.externalData.length === 0) return undefined;
  const entry = (key: string) => tensor.externalData.find((e) => e.key === key)?.value;
  const offset = Number(entry("offset") ?? 0);
  const length = Number(entry("length"));
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw new MdiError(
      "model_corrupt",
      `Cannot place tensor ${tensor.name}: offset ${entry("offset")}, length ${entry("length")}`,
    );
  }
  return { block: entry("location") ?? "self", offset, length };
}

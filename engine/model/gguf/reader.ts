/**
 * The front part of a GGUF file, versions 2 and 3, little-endian:
 *
 *     "GGUF"  u32 version  u64 tensors  u64 entries
 *     entries × { string key, u32 type, value }                   metadata
 *     tensors × { string name, u32 n, n × u64 dims, u32 type, u64 offset }
 *     padding to general.alignment (32)                           then the tensors' data
 *
 * A string is a u64 length and UTF-8; an array a u32 element type, a u64 count and the elements; dims run
 * from the innermost; an offset counts from the start of the data. Specification: ggml's `docs/gguf.md`.
 * The file is hostile until read: every count and length is bounded before anything is allocated for it.
 */
import { MdiError } from "../../../wasm/error.ts";
import { GGUF_TYPES, type GgufType } from "../../../wasm/gguf/types.ts";
import { fileInfo, readRange } from "../emit/file_range.ts";
import { GgufCursor, NeedMoreBytes } from "./cursor.ts";

/** A metadata value; 64-bit integers are bigint. */
export type GgufValue = string | number | bigint | boolean | GgufValue[];

/** Where a tensor lies and how it is stored. */
export interface GgufTensor {
  name: string;
  type: GgufType;
  /** Innermost first: [K, N] for a matrix of N rows. */
  dims: number[];
  /** First byte, from the start of the file. */
  offset: number;
  /** Bytes of all its rows. */
  bytes: number;
}

/** All of a GGUF file but its weights. */
export interface GgufHeader {
  metadata: ReadonlyMap<string, GgufValue>;
  tensors: ReadonlyMap<string, GgufTensor>;
}

/** First read: the whole header of a model with a vocabulary of 50 k. */
const FIRST_READ = 2 ** 22;
/** Real headers are below 16 MB (a vocabulary of 256 k tokens and its merges). */
const MAX_HEADER_BYTES = 2 ** 26;
const MAX_ENTRIES = 2 ** 16;
const MAX_TENSORS = 2 ** 16;
const MAX_KEY_BYTES = 2 ** 16;
const MAX_NAME_BYTES = 256;
const MAX_STRING_BYTES = 2 ** 24;
const MAX_ARRAY = 2 ** 22;
const MAX_NESTING = 4;
const MAX_DIMS = 4;
const MAX_ALIGNMENT = 2 ** 16;
/** u64 name length, u32 dims, one u64 dim, u32 type, u64 offset. */
const MIN_TENSOR_BYTES = 32;
/** u64 key length, u32 type, one byte of value. */
const MIN_ENTRY_BYTES = 13;

/** ggml's types that mdi cannot compute with, by number, for the message that refuses them. */
const OTHER_TYPES: Readonly<Record<number, string>> = {
  9: "Q8_1",
  10: "Q2_K",
  11: "Q3_K",
  15: "Q8_K",
  16: "IQ2_XXS",
  17: "IQ2_XS",
  18: "IQ3_XXS",
  19: "IQ1_S",
  20: "IQ4_NL",
  21: "IQ3_S",
  22: "IQ2_S",
  23: "IQ4_XS",
  24: "I8",
  25: "I16",
  26: "I32",
  27: "I64",
  28: "F64",
  29: "IQ1_M",
  34: "TQ1_0",
  35: "TQ2_0",
  39: "MXFP4",
  40: "NVFP4",
};
const TYPE_BY_ID: ReadonlyMap<number, GgufType> = new Map(
  Object.entries(GGUF_TYPES).map(([name, { id }]) => [id, name as GgufType]),
);

/**
 * Reads the header of a GGUF file, by range and never more than it needs by much.
 * @throws {MdiError} model_missing, model_corrupt, model_unsupported
 */
export async function readGgufHeader(
  path: string,
  options: { signal?: AbortSignal } = {},
): Promise<GgufHeader> {
  const { bytes: fileBytes } = await fileInfo(path);
  for (let length = FIRST_READ;; length *= 4) {
    const read = Math.min(length, fileBytes, MAX_HEADER_BYTES);
    const header = parseGgufHeader(await readRange(path, 0, read, options), fileBytes, path);
    if (header) return header;
    if (read === MAX_HEADER_BYTES) {
      throw new MdiError(
        "model_corrupt",
        `Cannot read GGUF file ${path}: its header is longer than ${MAX_HEADER_BYTES} bytes`,
      );
    }
  }
}

/**
 * Parses the header out of a file's first bytes.
 * @param fileBytes the length of the whole file.
 * @returns undefined where the header goes on beyond `bytes`.
 * @throws {MdiError} model_corrupt, model_unsupported
 */
export function parseGgufHeader(
  bytes: Uint8Array,
  fileBytes: number,
  file: string,
): GgufHeader | undefined {
  const cursor = new GgufCursor(bytes, fileBytes, file);
  try {
    checkVersion(cursor, file);
    const tensorCount = cursor.count("the number of tensors", MAX_TENSORS);
    const entryCount = cursor.count("the number of metadata entries", MAX_ENTRIES);
    cursor.expect("the metadata", entryCount, MIN_ENTRY_BYTES);
    const metadata = new Map<string, GgufValue>();
    for (let i = 0; i < entryCount; i++) {
      const key = cursor.string("a metadata key", MAX_KEY_BYTES);
      if (metadata.has(key)) throw cursor.corrupt(`metadata key "${key}" occurs twice`);
      metadata.set(key, readValue(cursor, key, cursor.u32(), 0));
    }
    cursor.expect("the list of tensors", tensorCount, MIN_TENSOR_BYTES);
    const tensors = new Map<string, GgufTensor>();
    for (let i = 0; i < tensorCount; i++) {
      const tensor = readTensor(cursor, file);
      if (tensors.has(tensor.name)) throw cursor.corrupt(`tensor "${tensor.name}" occurs twice`);
      tensors.set(tensor.name, tensor);
    }
    placeTensors(cursor, tensors, metadata.get("general.alignment") ?? 32, fileBytes);
    return { metadata, tensors };
  } catch (error) {
    if (error instanceof NeedMoreBytes) return undefined;
    throw error;
  }
}

function checkVersion(cursor: GgufCursor, file: string): void {
  const magic = cursor.u32();
  if (magic !== 0x46554747) {
    throw cursor.corrupt(
      `it starts with 0x${magic.toString(16).padStart(8, "0")} and not with "GGUF"`,
    );
  }
  const version = cursor.u32();
  if (version === 2 || version === 3) return;
  const why = (version & 0xffff) === 0 && version !== 0
    ? "it is big-endian"
    : `its format version is ${version}`;
  throw new MdiError(
    "model_unsupported",
    `Cannot read GGUF file ${file}: ${why}; mdi reads little-endian versions 2 and 3`,
    { details: { file, version } },
  );
}

/** Readers of the scalar types by number, with the bytes each takes. */
const SCALARS: readonly (readonly [number, (cursor: GgufCursor) => GgufValue] | undefined)[] = [
  [1, (cursor) => cursor.u8()],
  [1, (cursor) => cursor.i8()],
  [2, (cursor) => cursor.u16()],
  [2, (cursor) => cursor.i16()],
  [4, (cursor) => cursor.u32()],
  [4, (cursor) => cursor.i32()],
  [4, (cursor) => cursor.f32()],
  [1, (cursor) => cursor.bool()],
  undefined,
  undefined,
  [8, (cursor) => cursor.u64()],
  [8, (cursor) => cursor.i64()],
  [8, (cursor) => cursor.f64()],
];
const STRING = 8;
const ARRAY = 9;

function readValue(cursor: GgufCursor, key: string, type: number, depth: number): GgufValue {
  const scalar = SCALARS[type];
  if (scalar) return scalar[1](cursor);
  if (type === STRING) return cursor.string(`the value of "${key}"`, MAX_STRING_BYTES);
  if (type !== ARRAY) throw cursor.corrupt(`the value of "${key}" is of the unknown type ${type}`);
  if (depth === MAX_NESTING) throw cursor.corrupt(`the value of "${key}" is nested too deeply`);
  const element = cursor.u32();
  const count = cursor.count(`the length of array "${key}"`, MAX_ARRAY);
  cursor.expect(`array "${key}"`, count, SCALARS[element]?.[0] ?? (element === ARRAY ? 12 : 8));
  const values: GgufValue[] = [];
  for (let i = 0; i < count; i++) values.push(readValue(cursor, key, element, depth + 1));
  return values;
}

/** Reads one tensor's description; its offset still counts from the start of the data. */
function readTensor(cursor: GgufCursor, file: string): GgufTensor {
  const name = cursor.string("a tensor's name", MAX_NAME_BYTES);
  const rank = cursor.u32();
  if (rank < 1 || rank > MAX_DIMS) throw cursor.corrupt(`tensor "${name}" has ${rank} dimensions`);
  const dims: number[] = [];
  let weights = 1;
  for (let i = 0; i < rank; i++) {
    const dim = cursor.count(`dimension ${i} of tensor "${name}"`, Number.MAX_SAFE_INTEGER);
    weights *= dim;
    if (dim === 0 || weights > Number.MAX_SAFE_INTEGER / 4) {
      throw cursor.corrupt(`tensor "${name}" has the shape [${[...dims, dim].join(", ")}]`);
    }
    dims.push(dim);
  }
  const id = cursor.u32();
  const type = TYPE_BY_ID.get(id);
  if (type === undefined) {
    const met = OTHER_TYPES[id] ?? `number ${id}`;
    throw new MdiError(
      "model_unsupported",
      `Cannot use tensor "${name}" of ${file}: its type is ${met}; mdi computes with ${
        Object.keys(GGUF_TYPES).join(", ")
      }`,
      { details: { file, tensor: name, type: met } },
    );
  }
  const { block, bytes } = GGUF_TYPES[type];
  if (dims[0]! % block !== 0) {
    throw cursor.corrupt(
      `tensor "${name}" has rows of ${dims[0]}, not whole ${type} blocks of ${block}`,
    );
  }
  const offset = cursor.count(`the offset of tensor "${name}"`, Number.MAX_SAFE_INTEGER);
  return { name, type, dims, offset, bytes: weights / block * bytes };
}

/** Turns the tensors' offsets into places in the file, and checks that all lie within it. */
function placeTensors(
  cursor: GgufCursor,
  tensors: ReadonlyMap<string, GgufTensor>,
  alignment: GgufValue,
  fileBytes: number,
): void {
  if (
    typeof alignment !== "number" || !Number.isInteger(Math.log2(alignment)) || alignment < 8 ||
    alignment > MAX_ALIGNMENT
  ) {
    throw cursor.corrupt(
      `general.alignment is ${Array.isArray(alignment) ? "an array" : alignment}`,
    );
  }
  const start = Math.ceil(cursor.offset / alignment) * alignment;
  for (const tensor of tensors.values()) {
    if (tensor.offset % alignment !== 0) {
      throw cursor.corrupt(
        `tensor "${tensor.name}" at ${tensor.offset} is not aligned to ${alignment}`,
      );
    }
    tensor.offset += start;
    if (tensor.offset + tensor.bytes > fileBytes) {
      throw cursor.corrupt(
        `tensor "${tensor.name}" ends at byte ${
          tensor.offset + tensor.bytes
        } where the file has ${fileBytes}`,
      );
    }
  }
}

/**
 * The front part of a safetensors file:
 *
 *     u64 LE   N, the length of the header
 *     N bytes  JSON: { name: { dtype, shape, data_offsets: [first, end] }, …, "__metadata__": {…} }
 *     data     the tensors without gaps; offsets count from here
 *
 * Format: huggingface/safetensors, README "Format".
 */
import { MdiError, messageOf } from "../../../wasm/error.ts";
import { fileInfo, readRange } from "../emit/file_range.ts";

/** A tensor of a file. */
export interface SafeTensor {
  /** As the file writes it: "F32", "BF16", "I64" … */
  dtype: string;
  /** Outermost first. */
  shape: number[];
  /** First byte, from the start of the file. */
  offset: number;
  bytes: number;
  /** Path of its file. */
  path: string;
}

/** The format's own limit. */
const MAX_HEADER_BYTES = 100_000_000;

/** Bytes of an element; a dtype that is not here is not checked, and refused where it is used. */
const DTYPE_BYTES: ReadonlyMap<string, number> = new Map([
  ["BOOL", 1],
  ["U8", 1],
  ["I8", 1],
  ["F8_E5M2", 1],
  ["F8_E4M3", 1],
  ["I16", 2],
  ["U16", 2],
  ["F16", 2],
  ["BF16", 2],
  ["I32", 4],
  ["U32", 4],
  ["F32", 4],
  ["I64", 8],
  ["U64", 8],
  ["F64", 8],
]);

/**
 * Reads the header of a file.
 * @throws {MdiError} model_missing, model_corrupt
 */
export async function readSafetensorsHeader(
  path: string,
  options: { signal?: AbortSignal } = {},
): Promise<Map<string, SafeTensor>> {
  const { bytes: fileBytes } = await fileInfo(path);
  if (fileBytes < 8) throw corrupt(path, `it has ${fileBytes} bytes`);
  const length = headerLength(await readRange(path, 0, 8, options), fileBytes, path);
  return parseSafetensorsHeader(await readRange(path, 8, length, options), fileBytes, path);
}

/** The length of the header out of the file's first 8 bytes. */
function headerLength(bytes: Uint8Array, fileBytes: number, path: string): number {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES) || length > BigInt(fileBytes - 8)) {
    throw corrupt(path, `its header should have ${length} bytes and the file has ${fileBytes}`);
  }
  return Number(length);
}

/**
 * Parses a header.
 * @param json the bytes between the length and the data.
 * @param fileBytes the length of the whole file.
 * @throws {MdiError} model_corrupt
 */
export function parseSafetensorsHeader(
  json: Uint8Array,
  fileBytes: number,
  path: string,
): Map<string, SafeTensor> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
  } catch (cause) {
    throw corrupt(path, `its header is not JSON (${messageOf(cause)})`, cause);
  }
  if (!isObject(header)) throw corrupt(path, "its header is not a JSON object");
  const start = 8 + json.length;
  const tensors = new Map<string, SafeTensor>();
  for (const [name, value] of Object.entries(header)) {
    if (name !== "__metadata__") tensors.set(name, parseTensor(name, value, start, path));
  }
  checkLayout(tensors, start, fileBytes, path);
  return tensors;
}

function parseTensor(name: string, value: unknown, start: number, path: string): SafeTensor {
  const wrong = () =>
    corrupt(path, `tensor ${name} is described as ${JSON.stringify(value).slice(0, 200)}`);
  if (!isObject(value)) throw wrong();
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !isCounts(shape) || !isCounts(offsets)) throw wrong();
  const [first, end] = offsets;
  if (offsets.length !== 2 || first === undefined || end === undefined || end < first) {
    throw wrong();
  }
  const elements = shape.reduce((product, dim) => product * dim, 1);
  const size = DTYPE_BYTES.get(dtype);
  if (size !== undefined && elements * size !== end - first) throw wrong();
  return { dtype, shape, offset: start + first, bytes: end - first, path };
}

/** The tensors must cover the data without gaps and overlaps. */
function checkLayout(
  tensors: ReadonlyMap<string, SafeTensor>,
  start: number,
  fileBytes: number,
  path: string,
): void {
  let at = start;
  const sorted = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  for (const [name, { offset, bytes }] of sorted) {
    if (offset !== at) {
      throw corrupt(path, `tensor ${name} starts at byte ${offset} where ${at} is the next`);
    }
    at += bytes;
  }
  if (at !== fileBytes) {
    throw corrupt(path, `its tensors end at byte ${at} where the file has ${fileBytes}`);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

function corrupt(path: string, why: string, cause?: unknown): MdiError {
  return new MdiError(
    "model_corrupt",
    `Cannot read safetensors file ${path}: ${why}; fetch it again`,
    { cause, details: { file: path } },
  );
}

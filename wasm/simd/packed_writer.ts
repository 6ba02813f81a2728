/** Writes packed files (format: `packed_file.ts`). */
import { createHash } from "node:crypto";
import { align } from "../block.ts";
import { MdiError, messageOf } from "../error.ts";
import type { DecoderBlock, Matrix, Vector } from "./decoder.ts";
import { packVector } from "./pack.ts";
import { type ByteWriter, packFrom, readRange, type SourceReader } from "./pack_from.ts";
import { DTYPE_BYTES } from "./pack_kind.ts";
import { DIGEST_BYTES } from "./packed_digest.ts";
import { PACKED_HEADER_BYTES, PACKED_MAGIC, PACKED_VERSION } from "./packed_file.ts";
import { checkPackedIndex } from "./packed_index.ts";
import { type PackedPart, type PackedPlan, planPackedBlock } from "./packed_plan.ts";

/** Values of a vector that are widened at a time. */
const VECTOR_PIECE = 2 ** 18;

/**
 * Lays a block out, as {@linkcode planPackedBlock} does, and checks that it does not contradict itself.
 * @throws {MdiError} model_unsupported where the block cannot be packed.
 */
export function checkedPlan(
  block: DecoderBlock,
  options: { embed?: Matrix | undefined } = {},
): PackedPlan {
  const plan = planPackedBlock(block, options);
  try {
    checkPackedIndex(plan.index, plan.dataBytes);
  } catch (cause) {
    throw new MdiError(
      "model_unsupported",
      `Cannot pack a ${block.kind} block: ${messageOf(cause)}; use --backend ort`,
      { cause },
    );
  }
  return plan;
}

/** Size of the packed file of a plan. */
export function packedFileBytes({ index, dataBytes }: PackedPlan): number {
  return front(index).length + dataBytes + DIGEST_BYTES;
}

/**
 * Packs a block and writes it from its first byte to its last.
 * @param read reads the block's sources.
 * @param write gets pieces of about 1 MB; a piece's bytes change once it has returned.
 * @throws {MdiError} model_corrupt where its sources have not the sizes that their shapes need.
 */
export async function writePackedBlock(
  { index, parts }: PackedPlan,
  read: SourceReader,
  write: ByteWriter,
): Promise<void> {
  const hash = createHash("sha256");
  const append = async (bytes: Uint8Array) => {
    hash.update(bytes);
    await write(bytes);
  };
  await append(front(index));
  for (const part of parts) {
    let written = 0;
    await packPart(part, read, async (bytes) => {
      await append(bytes);
      written += bytes.length;
    });
    if (align(written) > written) await append(new Uint8Array(align(written) - written));
  }
  await write(hash.digest());
}

/** Packs one matrix or vector and writes it from its first byte to its last. */
export async function packPart(
  part: PackedPart,
  read: SourceReader,
  write: ByteWriter,
): Promise<void> {
  if ("matrix" in part) await packFrom(read, part.matrix, write);
  else await eachPiece(part.vector, read, write);
}

/** The bytes before the data section. */
function front(index: unknown): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(index));
  const out = new Uint8Array(align(PACKED_HEADER_BYTES + json.length));
  out.set(PACKED_MAGIC);
  const view = new DataView(out.buffer);
  view.setUint32(8, PACKED_VERSION, true);
  view.setUint32(12, json.length, true);
  out.set(json, PACKED_HEADER_BYTES);
  return out;
}

/** A vector's f32 bytes, piece by piece. */
async function eachPiece(vector: Vector, read: SourceReader, take: ByteWriter): Promise<void> {
  const { length, dtype, source } = vector;
  const width = DTYPE_BYTES[dtype];
  if (source.length !== length * width) {
    throw new MdiError(
      "model_corrupt",
      `Cannot read a vector of ${length} ${dtype} values: it has ${source.length} bytes`,
    );
  }
  for (let first = 0; first < length; first += VECTOR_PIECE) {
    const count = Math.min(VECTOR_PIECE, length - first);
    const bytes = await readRange(read, source, first * width, count * width);
    await take(new Uint8Array(packVector({ ...vector, length: count }, bytes).buffer));
  }
}

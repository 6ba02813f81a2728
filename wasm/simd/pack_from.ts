/** Packs matrices from block files piece by piece, so that a large one is never in memory twice. */
import type { TensorLocation, TensorSource } from "../block.ts";
import type { OpenBlocks } from "../block_file.ts";
import { MdiError } from "../error.ts";
import { GROUP } from "./abi.ts";
import type { Matrix } from "./decoder.ts";
import { packGroups, requireKind } from "./pack.ts";
import { layoutBytes, type SourceLayout, sourceLayouts } from "./pack_kind.ts";
import { groupBytes, groupsOf } from "./packed_layout.ts";

/** Reads `length` bytes from `offset` on of a tensor's bytes: all of them, or throws. */
export type SourceReader = (
  source: TensorLocation,
  offset: number,
  length: number,
) => Promise<Uint8Array>;

/** Takes bytes in order; they may change once it has returned. */
export type ByteWriter = (bytes: Uint8Array) => Promise<void>;

/** Bytes of a piece, as stored or as packed, whichever is more. */
const PIECE_BYTES = 2 ** 20;
/** The same for transposed sources: a piece of them is read value by value of k. */
const TRANSPOSED_PIECE_BYTES = 8 * 2 ** 20;

/** Reads from opened blocks. */
export function blockReader(blocks: OpenBlocks): SourceReader {
  return async (source, offset, length) => {
    const out = new Uint8Array(length);
    await blocks.read({ block: source.block, offset: source.offset + offset, length }, out);
    return out;
  };
}

/**
 * Packs a matrix from the first group to the last.
 * @param options `pieceBytes`: bytes of a piece; at least a group is taken.
 * @throws {MdiError} model_unsupported where there is no kind for it; model_corrupt where its sources
 * have not the sizes that its shape needs.
 */
export async function packFrom(
  read: SourceReader,
  matrix: Matrix,
  write: ByteWriter,
  options: { pieceBytes?: number } = {},
): Promise<void> {
  const { n, k } = matrix;
  const packedGroup = groupBytes(requireKind(matrix), k);
  checkSources(matrix);
  const layouts = sourceLayouts(matrix);
  const transposed = layouts.some(({ by }) => by === "column");
  const pieceBytes = options.pieceBytes ?? (transposed ? TRANSPOSED_PIECE_BYTES : PIECE_BYTES);
  const storedGroup = layouts.reduce((sum, layout) => sum + layoutBytes(layout, GROUP, k), 0);
  const groups = groupsOf(n);
  const step = Math.max(1, Math.floor(pieceBytes / Math.max(packedGroup, storedGroup)));
  const out = new Uint8Array(Math.min(step, groups) * packedGroup);
  for (let first = 0; first < groups; first += step) {
    const end = Math.min(groups, first + step);
    const row0 = first * GROUP;
    const rows = Math.min(n, end * GROUP) - row0;
    const parts: Uint8Array[] = [];
    for (const [i, layout] of layouts.entries()) {
      parts.push(await readRows(read, matrix.sources[i]!, layout, matrix, row0, rows));
    }
    const packed = out.subarray(0, (end - first) * packedGroup);
    packGroups(matrix, parts, first, end, packed);
    await write(packed);
  }
}

/**
 * Checks that a matrix's sources have the sizes that its shape needs.
 * @throws {MdiError} model_corrupt
 */
function checkSources(matrix: Matrix): void {
  const { n, k, sources } = matrix;
  const layouts = sourceLayouts(matrix);
  const needed = layouts.map((layout) => layoutBytes(layout, n, k));
  if (
    sources.length === needed.length && needed.every((bytes, i) => sources[i]!.length === bytes)
  ) {
    return;
  }
  throw new MdiError(
    "model_corrupt",
    `Cannot pack a weight [${n}, ${k}]: its parts have ${
      sources.map(({ length }) => length).join(", ")
    } bytes where its shape needs ${needed.join(", ")}`,
  );
}

/** The bytes of a source that `packGroups()` wants for some rows. */
function readRows(
  read: SourceReader,
  source: TensorSource,
  { by, bytes }: SourceLayout,
  { n, k }: Matrix,
  row0: number,
  rows: number,
): Promise<Uint8Array> {
  if (by === "all") return readRange(read, source, 0, bytes);
  if (by === "row") return readRange(read, source, row0 * bytes, rows * bytes);
  if (rows === n) return readRange(read, source, 0, n * k * bytes);
  return readColumns(read, source, n * bytes, k, row0 * bytes, rows * bytes);
}

/** Of each of `count` runs of `stride` bytes the `length` bytes at `offset`. */
async function readColumns(
  read: SourceReader,
  source: TensorSource,
  stride: number,
  count: number,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const out = new Uint8Array(count * length);
  for (let i = 0; i < count; i++) {
    out.set(await readRange(read, source, i * stride + offset, length), i * length);
  }
  return out;
}

/** Reads from a tensor's place, or takes the bytes where they lie in the graph. */
export function readRange(
  read: SourceReader,
  source: TensorSource,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  return source instanceof Uint8Array
    ? Promise.resolve(source.subarray(offset, offset + length))
    : read(source, offset, length);
}

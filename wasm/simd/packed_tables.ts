/** Loads the tables of a packed layer's rotation, wherever they are. */
import type { OpenBlocks } from "../block_file.ts";
import { packVector } from "./pack.ts";
import type { PackedTable, StoredTable } from "./packed_block.ts";
import type { PackedFile } from "./packed_file.ts";

/** A name that two tables of one model share if and only if their values are known to be equal. */
export function tableKey(table: PackedTable | StoredTable): string {
  if (!("source" in table)) return table.sha256;
  const { block, offset, length } = table.source;
  return `${block} ${offset} ${length} ${table.dtype}`;
}

/**
 * Reads a table's values.
 * @param file that names it.
 * @param blocks of the same stage.
 * @throws {MdiError} model_corrupt where its bytes are not there.
 */
export async function loadTable(
  table: PackedTable | StoredTable,
  file: PackedFile,
  blocks: OpenBlocks,
): Promise<Float32Array> {
  if ("source" in table) {
    blocks.check(table.source);
    const bytes = new Uint8Array(table.source.length);
    await blocks.read(table.source, bytes);
    return packVector(table, bytes);
  }
  const values = new Float32Array(table.length);
  await file.readInto(table.offset, new Uint8Array(values.buffer));
  return values;
}

/** The tensors of a safetensors directory, in one file or in shards. */
import { join } from "node:path";
import { MdiError } from "../../../wasm/error.ts";
import { type FileInfo, fileInfo } from "../emit/file_range.ts";
import { readJsonFile } from "../hf/json_file.ts";
import { objectAt } from "../hf/json_value.ts";
import { readSafetensorsHeader, type SafeTensor } from "./header.ts";

/** All tensors of a model, and the files they lie in. */
export interface TensorDirectory {
  tensors: Map<string, SafeTensor>;
  files: FileInfo[];
}

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";
const MAX_SHARDS = 4096;
/** A plain file name: a shard lies in the model's own directory. */
const SHARD_NAME = /^[\w-][\w.-]*\.safetensors$/;

/**
 * Reads the headers of model.safetensors, or of all shards that model.safetensors.index.json names.
 * @throws {MdiError} model_missing, model_corrupt
 */
export async function readTensorDirectory(
  directory: string,
  options: { signal?: AbortSignal } = {},
): Promise<TensorDirectory> {
  const index = await readJsonFile(join(directory, INDEX));
  if (!index) {
    const path = join(directory, SINGLE);
    return { tensors: await readSafetensorsHeader(path, options), files: [await fileInfo(path)] };
  }
  const shardOf = shardsOf(objectAt(index, "weight_map"), directory);
  const tensors = new Map<string, SafeTensor>();
  const files: FileInfo[] = [];
  for (const shard of new Set(shardOf.values())) {
    const path = join(directory, shard);
    files.push(await fileInfo(path));
    for (const [name, tensor] of await readSafetensorsHeader(path, options)) {
      if (shardOf.get(name) === shard) tensors.set(name, tensor);
    }
  }
  for (const [name, shard] of shardOf) {
    if (!tensors.has(name)) throw badIndex(directory, `tensor ${name} is not in ${shard}`);
  }
  return { tensors, files };
}

/** The file of each tensor. */
function shardsOf(
  map: Record<string, unknown> | undefined,
  directory: string,
): Map<string, string> {
  if (!map) throw badIndex(directory, "it has no weight_map");
  const shardOf = new Map<string, string>();
  for (const [name, shard] of Object.entries(map)) {
    if (typeof shard !== "string" || !SHARD_NAME.test(shard)) {
      throw badIndex(
        directory,
        `tensor ${name} is said to be in ${JSON.stringify(shard).slice(0, 100)}`,
      );
    }
    shardOf.set(name, shard);
  }
  const shards = new Set(shardOf.values()).size;
  if (shards > MAX_SHARDS) throw badIndex(directory, `it names ${shards} files`);
  return shardOf;
}

function badIndex(directory: string, why: string): MdiError {
  return new MdiError(
    "model_corrupt",
    `Cannot use ${join(directory, INDEX)}: ${why}; fetch it again`,
    {
      details: { file: join(directory, INDEX) },
    },
  );
}

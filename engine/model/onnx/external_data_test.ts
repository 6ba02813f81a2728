import { create, toBinary } from "@bufbuild/protobuf";
import { assert, assertEquals } from "@std/assert";
import { dirname, join } from "node:path";
import {
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
} from "../../../wasm/gen/onnx/onnx_pb.ts";
import { FIXTURES } from "../emit/_fixtures.ts";
import { readRange } from "../emit/file_range.ts";
import { LoadedSource } from "../emit/_loaded_source.ts";
import type { ModelSource } from "../types.ts";
import { openOnnxModel } from "./open_onnx_model.ts";
import { readOnnxFile } from "./read_onnx_file.ts";

const EXTERNAL = join(FIXTURES, "tiny-llama-untied-external");
/** The files that a copy's weights are dealt out to, one of them in a folder. */
const PARTS = ["model.onnx_data", "model.onnx_data_1", "weights/more.bin"];

/**
 * A copy of tiny-llama-untied-external with its weights in three files: in another order than the
 * graph's, at odd offsets, behind junk, and with `offset` and `length` left out where they may be.
 */
async function withSeveralFiles(body: (path: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    for (const name of ["config.json", "tokenizer.json", "tokenizer_config.json"]) {
      await Deno.copyFile(join(EXTERNAL, name), join(root, name));
    }
    const { model, ranges } = await readOnnxFile(join(EXTERNAL, "onnx/model.onnx"));
    const parts = PARTS.map((): Uint8Array[] => []);
    const lengths = PARTS.map(() => 0);
    const placed = model.graph!.initializer.filter((tensor) => ranges.has(tensor.name));
    for (const [i, tensor] of placed.toReversed().entries()) {
      const { path, offset, length } = ranges.get(tensor.name)!;
      const part = i % PARTS.length;
      const junk = new Uint8Array(i < PARTS.length ? 0 : 1 + i % 63).fill(255);
      const place: Record<string, number> = { offset: lengths[part]! + junk.length, length };
      if (place["offset"] === 0) delete place["offset"];
      if (i % 2 === 0) delete place["length"];
      tensor.externalData = Object.entries({ location: PARTS[part]!, ...place })
        .map(([key, value]) => create(StringStringEntryProtoSchema, { key, value: String(value) }));
      tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
      parts[part]!.push(junk, await readRange(path, offset, length));
      lengths[part]! += junk.length + length;
    }
    const graph = join(root, "onnx/model.onnx");
    await Deno.mkdir(join(dirname(graph), "weights"), { recursive: true });
    await Deno.writeFile(graph, toBinary(ModelProtoSchema, model));
    for (const [i, name] of PARTS.entries()) {
      await Deno.writeFile(
        join(dirname(graph), name),
        new Blob(parts[i] as BlobPart[]).stream(),
      );
    }
    await body(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

async function logitBits(source: ModelSource): Promise<Uint32Array> {
  await using loaded = await LoadedSource.load(source);
  const logits = await loaded.logits(Array.from({ length: 17 }, (_, i) => 29 * i % 512));
  assert(logits.every(Number.isFinite));
  return new Uint32Array(logits.buffer);
}

Deno.test("ExternalData finds weights in several files, to the last bit of the logits", async () => {
  await withSeveralFiles(async (path) => {
    await using several = await openOnnxModel(path);
    await using one = await openOnnxModel(EXTERNAL);
    await using inline = await openOnnxModel(join(FIXTURES, "tiny-llama-untied"));
    assertEquals(several.files.length, 1 + PARTS.length);
    const expected = await logitBits(inline);
    assertEquals(await logitBits(one), expected);
    assertEquals(await logitBits(several), expected);
  });
});

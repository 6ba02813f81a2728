import { assert, assertEquals, assertRejects } from "@std/assert";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type ModelProto,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
  TensorProto_DataType,
  TensorProtoSchema,
} from "../../../wasm/gen/onnx/onnx_pb.ts";
import { MdiError } from "../../../wasm/error.ts";
import { readRange } from "../emit/file_range.ts";
import { INLINE_BYTES, readOnnxFile } from "./read_onnx_file.ts";
import { sliceGraph } from "./slice_graph.ts";

const FIXTURES = fileURLToPath(new URL("../../../tests/fixtures/tiny-llama-tied", import.meta.url));
const INLINE = join(FIXTURES, "onnx/model_q4.onnx");

async function readBytes(bytes: Uint8Array): Promise<void> {
  const path = await Deno.makeTempFile({ suffix: ".onnx" });
  try {
    await Deno.writeFile(path, bytes);
    const { model } = await readOnnxFile(path);
    sliceGraph(model);
  } finally {
    await Deno.remove(path);
  }
}

/** A model of one initializer of 2,048 bytes with the given external_data. */
function withExternalData(entries: Record<string, string>): Uint8Array {
  const tensor = create(TensorProtoSchema, {
    name: "weight",
    dims: [512n],
    dataType: TensorProto_DataType.FLOAT,
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: Object.entries(entries).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value })
    ),
  });
  return toBinary(ModelProtoSchema, create(ModelProtoSchema, { graph: { initializer: [tensor] } }));
}

Deno.test("readOnnxFile() gives what the generated code gives, with places for large initializers", async () => {
  const expected: ModelProto = fromBinary(ModelProtoSchema, await Deno.readFile(INLINE));
  const { model, ranges, externalFiles } = await readOnnxFile(INLINE);
  assertEquals(externalFiles, []);
  assertEquals(model.graph!.node, expected.graph!.node);
  assertEquals(model.graph!.input, expected.graph!.input);
  assertEquals(model.graph!.output, expected.graph!.output);
  assertEquals(model.opsetImport, expected.opsetImport);
  for (const [i, tensor] of expected.graph!.initializer.entries()) {
    const actual = model.graph!.initializer[i]!;
    assertEquals(actual.name, tensor.name);
    assertEquals(actual.dims, tensor.dims);
    const range = ranges.get(tensor.name);
    assertEquals(range !== undefined, tensor.rawData.length > INLINE_BYTES);
    const bytes = range ? await readRange(range.path, range.offset, range.length) : actual.rawData;
    assertEquals(bytes, tensor.rawData);
  }
});

Deno.test("readOnnxFile() reads small external initializers and places the large ones", async () => {
  const { model, ranges, externalFiles } = await readOnnxFile(
    join(FIXTURES, "genai-fp32/model.onnx"),
  );
  assertEquals(externalFiles.map(({ bytes }) => bytes), [755968]);
  const norm = model.graph!.initializer.find(({ name }) =>
    name === "model.layers.0.input_layernorm.weight"
  )!;
  assertEquals(norm.rawData.length, 256);
  assertEquals(norm.externalData, []);
  assertEquals(ranges.get("cos_cache")!.length, 512 * 8 * 4);
});

Deno.test("readOnnxFile() refuses a file cut off anywhere", async () => {
  const bytes = await Deno.readFile(join(FIXTURES, "onnx/model_quantized.onnx"));
  for (let length = 0; length < bytes.length; length += Math.ceil(bytes.length / 40)) {
    const error = await assertRejects(() => readBytes(bytes.subarray(0, length)), MdiError);
    assertEquals(error.code, "model_corrupt", error.message);
  }
});

Deno.test("readOnnxFile() and sliceGraph() meet any bytes with an MdiError", async () => {
  const bytes = await Deno.readFile(join(FIXTURES, "onnx/model_quantized.onnx"));
  const change = fc.record({ at: fc.nat(bytes.length - 1), byte: fc.nat(255) });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 20 }), async (changes) => {
      const changed = bytes.slice();
      for (const { at, byte } of changes) changed[at] = byte;
      await readBytes(changed).catch((error) => assert(error instanceof MdiError, error.stack));
    }),
    { numRuns: 40 },
  );
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (garbage) => {
      await readBytes(garbage).then(
        () => assert(false, "garbage was read"),
        (error) => assert(error instanceof MdiError, error.stack),
      );
    }),
    { numRuns: 100 },
  );
});

Deno.test("readOnnxFile() refuses a length beyond the file without allocating it", async () => {
  // graph {initializer {raw_data of 2^62 bytes}}
  const bytes = Uint8Array.from([
    0x3a,
    14,
    0x2a,
    12,
    0x4a,
    128,
    128,
    128,
    128,
    128,
    128,
    128,
    128,
    64,
    0,
    0,
  ]);
  const error = await assertRejects(() => readBytes(bytes), MdiError, "4611686018427388000");
  assertEquals(error.code, "model_corrupt");
});

Deno.test("readOnnxFile() refuses a field that swallows the graph", async () => {
  // opset_import written as the varint 3, which a parser takes for the length of a message; then graph {}
  const bytes = Uint8Array.from([0x40, 3, 0x3a, 1, 0]);
  const error = await assertRejects(() => readBytes(bytes), MdiError);
  assertEquals(error.code, "model_corrupt");
});

Deno.test("readOnnxFile() refuses external data outside of the model's directory or file", async (t) => {
  const root = await Deno.makeTempDir();
  const directory = join(root, "model");
  await Deno.mkdir(directory);
  await Deno.writeFile(join(root, "secret"), new Uint8Array(4096));
  await Deno.writeFile(join(directory, "data"), new Uint8Array(4096));
  await Deno.symlink(join(root, "secret"), join(directory, "link"));
  const cases: [Record<string, string>, MdiError["code"], string][] = [
    [{ location: "../secret" }, "model_corrupt", "../secret"],
    [{ location: "a/../../secret" }, "model_corrupt", "a/../../secret"],
    [{ location: join(root, "secret") }, "model_corrupt", "outside"],
    [{ location: "C:\\secret" }, "model_corrupt", "C:"],
    [{ location: "" }, "model_corrupt", "outside"],
    [{ location: "link" }, "model_corrupt", "leads out"],
    [{ location: "." }, "model_missing", "model.onnx"],
    [{ location: "absent" }, "model_missing", "absent"],
    [{ location: "data", offset: "2049", length: "2048" }, "model_corrupt", "2049"],
    [{ location: "data", offset: "-1" }, "model_corrupt", "-1"],
    [{ location: "data", offset: "1e3" }, "model_corrupt", "1e3"],
    [{ location: "data", offset: "99999999999999999999" }, "model_corrupt", "9999"],
    [{ location: "data", length: "2047" }, "model_corrupt", "2047"],
  ];
  for (const [entries, code, words] of cases) {
    await t.step(JSON.stringify(entries).replaceAll(root, ""), async () => {
      const path = join(directory, "model.onnx");
      await Deno.writeFile(path, withExternalData(entries));
      const error = await assertRejects(() => readOnnxFile(path), MdiError, words);
      assertEquals(error.code, code);
    });
  }
  await t.step("and reads what is inside", async () => {
    const path = join(directory, "model.onnx");
    await Deno.writeFile(path, withExternalData({ location: "data", offset: "2048" }));
    const { ranges } = await readOnnxFile(path);
    assertEquals(ranges.get("weight")!.offset, 2048);
  });
  await t.step("and follows the links of a hub cache", async () => {
    const snapshot = join(root, "snapshot");
    await Deno.mkdir(snapshot);
    await Deno.symlink("../model/model.onnx", join(snapshot, "model.onnx"));
    await Deno.symlink("../model/data", join(snapshot, "data"));
    const { ranges } = await readOnnxFile(join(snapshot, "model.onnx"));
    assertEquals(ranges.get("weight")!.length, 2048);
  });
  await Deno.remove(root, { recursive: true });
});

Deno.test("readOnnxFile() steps over gigabytes of inline weights", async () => {
  const path = await Deno.makeTempFile({ suffix: ".onnx" });
  try {
    // graph {initializer {dims: 3·2^28, data_type: FLOAT, raw_data, name}}, raw_data a hole in the file.
    const elements = 3 * 2 ** 28;
    const length = 4 * elements;
    const header = new BinaryWriter().tag(1, WireType.Varint).int64(elements)
      .tag(2, WireType.Varint).int32(TensorProto_DataType.FLOAT)
      .tag(9, WireType.LengthDelimited).uint32(length).finish();
    const name = new BinaryWriter().tag(8, WireType.LengthDelimited).string("weight").finish();
    const tensorLength = header.length + length + name.length;
    const tensor = new BinaryWriter().tag(5, WireType.LengthDelimited).uint32(tensorLength)
      .finish();
    const graph = new BinaryWriter().tag(7, WireType.LengthDelimited)
      .uint32(tensor.length + tensorLength).finish();
    const front = Uint8Array.from([...graph, ...tensor, ...header]);
    {
      using file = await Deno.open(path, { write: true });
      await file.write(front);
      await file.truncate(front.length + length);
      await file.seek(0, Deno.SeekMode.End);
      await file.write(name);
    }
    const before = Deno.memoryUsage().rss;
    const { ranges } = await readOnnxFile(path);
    assertEquals(ranges.get("weight"), { path, offset: front.length, length });
    assert(Deno.memoryUsage().rss - before < 64 * 2 ** 20);
  } finally {
    await Deno.remove(path);
  }
});

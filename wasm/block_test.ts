import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { acceptOrRefuseAsync, damagedBytes } from "../tests/support/hostile.ts";
import {
  BLOCK_ALIGNMENT,
  BLOCK_HEADER_BYTES,
  BLOCK_MAGIC,
  BLOCK_VERSION,
  readBlockHeader,
  tensorLocation,
} from "./block.ts";
import { MdiError } from "./error.ts";
import {
  GraphProtoSchema,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProtoSchema,
} from "./gen/onnx/onnx_pb.ts";

/** A weight whose place is said by the given keys. */
function external(entries: Record<string, string>): TensorProto {
  const externalData = Object.entries(entries).map(([key, value]) =>
    create(StringStringEntryProtoSchema, { key, value })
  );
  return create(TensorProtoSchema, { name: "w", dims: [4n, 8n], dataType: 1, externalData });
}

/** The front part of a block file with the given parts. */
function header(graph: Uint8Array, version = BLOCK_VERSION, length = graph.length): Uint8Array {
  const bytes = new Uint8Array(BLOCK_HEADER_BYTES + graph.length);
  bytes.set(BLOCK_MAGIC);
  new DataView(bytes.buffer).setUint32(8, version, true);
  new DataView(bytes.buffer).setUint32(12, length, true);
  bytes.set(graph, BLOCK_HEADER_BYTES);
  return bytes;
}

const GRAPH = toBinary(
  ModelProtoSchema,
  create(ModelProtoSchema, {
    irVersion: 8n,
    graph: create(GraphProtoSchema, {
      name: "layer.0",
      initializer: [external({ location: "self", offset: "64", length: "128" })],
    }),
  }),
);

function read(bytes: Uint8Array) {
  return readBlockHeader(
    "layer.0",
    (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
  );
}

Deno.test("readBlockHeader() gives the graph and where the data starts", async () => {
  const { model, dataOffset } = await read(header(GRAPH));
  assertEquals(model.graph?.name, "layer.0");
  assertEquals(dataOffset % BLOCK_ALIGNMENT, 0);
  assert(dataOffset >= BLOCK_HEADER_BYTES + GRAPH.length);
  assertEquals(tensorLocation(model.graph!.initializer[0]!), {
    block: "self",
    offset: 64,
    length: 128,
  });
});

Deno.test("readBlockHeader() refuses what is no block and names it", async () => {
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(0), "does not start with a block header"],
    [header(GRAPH).subarray(0, 15), "does not start with a block header"],
    [header(GRAPH).fill(0, 0, 1), "does not start with a block header"],
    [header(GRAPH, 2), "format version is 2, not 1"],
    [header(GRAPH, 1, 2 ** 32 - 1), "its graph of 4294967295 bytes is too long"],
    [header(GRAPH, 1, GRAPH.length + 1), "ends inside its graph"],
    [header(new Uint8Array([0xff, 0xff])), "is not a ModelProto"],
  ];
  for (const [bytes, message] of cases) {
    const error = await assertRejects(() => read(bytes), MdiError, message);
    assertEquals(error.code, "model_corrupt");
    assert(error.message.includes("layer.0"));
  }
});

Deno.test("readBlockHeader() meets any bytes with an MdiError, and asks for no more than a graph", async () => {
  const whole = header(GRAPH);
  const damaged = fc.oneof(damagedBytes(whole), fc.uint8Array({ maxLength: 100 }));
  await fc.assert(
    fc.asyncProperty(damaged, async (bytes) => {
      await acceptOrRefuseAsync(() =>
        readBlockHeader("layer.0", (offset, length) => {
          assert(length <= 64 * 2 ** 20);
          return Promise.resolve(bytes.subarray(offset, offset + length));
        })
      );
    }),
    { numRuns: 1000 },
  );
});

Deno.test("tensorLocation() gives a place of whole bytes or an MdiError", () => {
  assertEquals(tensorLocation(create(TensorProtoSchema, { name: "inline" })), undefined);
  assertEquals(tensorLocation(external({ length: "4" })), { block: "self", offset: 0, length: 4 });
  for (
    const entries of [{ offset: "1" }, { length: "-1" }, { length: "1.5" }, { length: "9e99" }]
  ) {
    assertThrows(() => tensorLocation(external(entries)), MdiError, "Cannot place tensor w");
  }
  const text = fc.oneof(fc.string(), fc.double().map(String), fc.bigInt().map(String));
  fc.assert(fc.property(text, text, text, (location, offset, length) => {
    try {
      const place = tensorLocation(external({ location, offset, length }))!;
      assert(Number.isSafeInteger(place.offset) && place.offset >= 0);
      assert(Number.isSafeInteger(place.length) && place.length >= 0);
    } catch (error) {
      assert(error instanceof MdiError && error.code === "model_corrupt");
    }
  }));
});

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { join } from "node:path";
import { acceptOrRefuseAsync, damagedBytes } from "../tests/support/hostile.ts";
import { align, BLOCK_HEADER_BYTES, BLOCK_MAGIC, BLOCK_VERSION, tensorLocation } from "./block.ts";
import { OpenBlocks } from "./block_file.ts";
import { MdiError } from "./error.ts";
import { ModelProtoSchema } from "./gen/onnx/onnx_pb.ts";

/** A block file: a graph with one weight of these bytes. */
function blockFile(weight: Uint8Array): Uint8Array<ArrayBuffer> {
  const graph = toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      graph: {
        initializer: [{
          name: "w",
          externalData: [{ key: "location", value: "self" }, {
            key: "length",
            value: String(weight.length),
          }],
        }],
      },
    }),
  );
  const dataOffset = align(BLOCK_HEADER_BYTES + graph.length);
  const bytes = new Uint8Array(dataOffset + weight.length);
  bytes.set(BLOCK_MAGIC);
  new DataView(bytes.buffer).setUint32(8, BLOCK_VERSION, true);
  new DataView(bytes.buffer).setUint32(12, graph.length, true);
  bytes.set(graph, BLOCK_HEADER_BYTES);
  bytes.set(weight, dataOffset);
  return bytes;
}

const WEIGHT = Uint8Array.from({ length: 300 }, (_, i) => i);

async function withFile(fn: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "mdi-block-" });
  try {
    await fn(join(folder, "block"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("OpenBlocks reads a tensor's bytes from its place", () =>
  withFile(async (path) => {
    await Deno.writeFile(path, blockFile(WEIGHT));
    using blocks = await OpenBlocks.open([{ name: "embed", path }]);
    const [tensor] = blocks.header("embed").model.graph!.initializer;
    const place = tensorLocation(tensor!)!;
    const out = new Uint8Array(WEIGHT.length);
    await blocks.read({ ...place, block: "embed" }, out);
    assertEquals(out, WEIGHT);
    await blocks.read({ block: "embed", offset: 10, length: 3 }, out.subarray(0, 3));
    assertEquals(out.subarray(0, 3), new Uint8Array([10, 11, 12]));
  }));

Deno.test("OpenBlocks refuses a missing file, an unknown block and a place beyond the end", () =>
  withFile(async (path) => {
    const missing = await assertRejects(() => OpenBlocks.open([{ name: "head", path }]), MdiError);
    assertEquals(missing.code, "model_missing");
    await Deno.writeFile(path, blockFile(WEIGHT));
    using blocks = await OpenBlocks.open([{ name: "embed", path }]);
    assertThrows(() => blocks.header("shared"), MdiError, "the stage was not given it");
    const beyond = [
      { offset: 0, length: 301 },
      { offset: 300, length: 1 },
      { offset: 2 ** 50, length: 2 ** 50 },
    ];
    for (const place of beyond) {
      const checked = assertThrows(() => blocks.check({ block: "embed", ...place }), MdiError);
      assertEquals(checked.code, "model_corrupt");
    }
    const read = () => blocks.read({ block: "embed", offset: 0, length: 301 }, new Uint8Array(301));
    assertEquals((await assertRejects(read, MdiError)).code, "model_corrupt");
  }));

Deno.test("OpenBlocks meets damaged files with an MdiError and keeps no file open", () =>
  withFile(async (path) => {
    const whole = blockFile(WEIGHT);
    const front = whole.length - WEIGHT.length;
    await fc.assert(
      fc.asyncProperty(damagedBytes(whole, { end: front }), async (bytes) => {
        await Deno.writeFile(path, bytes);
        await acceptOrRefuseAsync(async () => {
          using blocks = await OpenBlocks.open([{ name: "self", path }]);
          for (const tensor of blocks.header("self").model.graph?.initializer ?? []) {
            const place = tensorLocation(tensor);
            if (!place) continue;
            blocks.check(place); // before anything is allocated for it
            assert(place.length <= bytes.length);
            await blocks.read(place, new Uint8Array(place.length));
          }
        });
      }),
      { numRuns: 300 },
    );
  }));

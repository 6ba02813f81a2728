import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { join } from "node:path";
import { OpenBlocks } from "../block_file.ts";
import { MdiError } from "../error.ts";
import { BlockData } from "./_block_data.ts";
import { FORMS, randomMatrix } from "./_random_matrix.ts";
import type { Matrix } from "./decoder.ts";
import { packMatrix, requireKind } from "./pack.ts";
import { blockReader, packFrom, type SourceReader } from "./pack_from.ts";
import { packedBytes } from "./packed_layout.ts";

async function streamed(
  read: SourceReader,
  matrix: Matrix,
  options?: { pieceBytes: number },
): Promise<{ bytes: Uint8Array; largest: number }> {
  const pieces: Uint8Array[] = [];
  // deno-lint-ignore require-await -- a ByteWriter
  await packFrom(read, matrix, async (bytes) => void pieces.push(bytes.slice()), options);
  const bytes = new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer());
  return { bytes, largest: Math.max(...pieces.map(({ length }) => length)) };
}

function whole({ matrix, parts }: { matrix: Matrix; parts: Uint8Array[] }): Uint8Array {
  const out = new Uint8Array(packedBytes(requireKind(matrix), matrix.n, matrix.k));
  packMatrix(matrix, parts, out);
  return out;
}

function stored({ matrix, parts }: { matrix: Matrix; parts: Uint8Array[] }) {
  const data = new BlockData("layer.0");
  return { data, matrix: { ...matrix, sources: parts.map((part) => data.add(part)) } };
}

Deno.test("packFrom() gives in pieces what packMatrix() gives at once", async () => {
  const shapes = fc.record({
    index: fc.nat(FORMS.length - 1),
    n: fc.integer({ min: 1, max: 90 }),
    runs: fc.integer({ min: 1, max: 2 }),
    pieceBytes: fc.constantFrom(1, 5000, 20000),
    seed: fc.integer(),
    zeroPoints: fc.constantFrom("none" as const, "one" as const, "each" as const),
    inline: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(shapes, async ({ index, n, runs, pieceBytes, seed, zeroPoints, inline }) => {
      const { form } = FORMS[index]!;
      const k = runs * (form.type === "gguf" ? 256 : form.type === "float" ? 7 : 32);
      const random = randomMatrix(form, n, k, seed, zeroPoints);
      const { data, matrix } = stored(random);
      const { bytes } = await streamed(data.read, inline ? random.matrix : matrix, { pieceBytes });
      assertEquals(bytes, whole(random));
    }),
    { numRuns: 150 },
  );
});

Deno.test("packFrom() writes pieces of at most 1 MB", async () => {
  const random = randomMatrix({ type: "gguf", gguf: "Q4_1" }, 2000, 1536, 1);
  const { data, matrix } = stored(random);
  const { bytes, largest } = await streamed(data.read, matrix);
  assertEquals(bytes, whole(random));
  assert(largest <= 2 ** 20 && largest > 2 ** 19, `${largest}`);
});

Deno.test("packFrom() reads from block files", async () => {
  const random = randomMatrix(
    { type: "int8", signed: true, transposed: true, perRow: true },
    70,
    64,
    2,
  );
  const { data, matrix } = stored(random);
  const folder = await Deno.makeTempDir({ prefix: "mdi-pack-" });
  try {
    const path = join(folder, "block");
    await Deno.writeFile(path, data.file());
    using blocks = await OpenBlocks.open([{ name: "layer.0", path }]);
    const { bytes } = await streamed(blockReader(blocks), matrix, { pieceBytes: 2000 });
    assertEquals(bytes, whole(random));
    await Deno.truncate(path, data.file().length - 1);
    const error = await assertRejects(() => streamed(blockReader(blocks), matrix), MdiError);
    assertEquals(error.code, "model_corrupt");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("packFrom() refuses sources that do not fit the shape", async () => {
  const { matrix } = randomMatrix(
    { type: "nbits", bits: 4, block: 32, scales: "f32", zeroPoints: "u8" },
    8,
    64,
    3,
  );
  const read: SourceReader = () => Promise.reject(new Error("nothing is to be read"));
  const [codes, scales, zeros] = matrix.sources as Uint8Array[];
  const damaged = [
    { ...matrix, sources: [codes!, scales!] },
    { ...matrix, sources: [codes!, scales!.subarray(4), zeros!] },
    { ...matrix, n: 9 },
    { ...matrix, n: 0 },
    { ...matrix, k: 96 },
  ];
  for (const each of damaged) {
    const error = await assertRejects(() => streamed(read, each), MdiError, "Cannot pack a weight");
    assertEquals(error.code, "model_corrupt");
  }
  const error = await assertRejects(() => streamed(read, { ...matrix, k: 40 }), MdiError, "40");
  assertEquals(error.code, "model_unsupported");
});

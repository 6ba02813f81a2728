import { join } from "node:path";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MdiError } from "../../../wasm/error.ts";
import { FIXTURES } from "../emit/_fixtures.ts";
import { type TensorToWrite, type TypedValue, writeGguf } from "./_gguf_writer.ts";
import { type GgufHeader, parseGgufHeader, readGgufHeader } from "./reader.ts";

const METADATA: Record<string, TypedValue> = {
  "general.architecture": [8, "llama"],
  "u8": [0, 255],
  "i8": [1, -1 & 255],
  "u16": [2, 65535],
  "i16": [3, -2 & 65535],
  "u32": [4, 4294967295],
  "i32": [5, -3],
  "f32": [6, 0.5],
  "bool": [7, true],
  "strings": [9, 8, [[8, "a"], [8, "Ġb€"], [8, ""]]],
  "nested": [9, 9, [[9, 4, [[4, 1], [4, 2]]], [9, 4, []]]],
  "u64": [10, 2n ** 63n],
  "i64": [11, -5n],
  "f64": [12, 1e300],
};
const TENSORS: TensorToWrite[] = [
  { name: "a", dims: [2, 3], type: "F32", data: new Uint8Array(24).fill(1) },
  { name: "b", dims: [32, 2], type: "Q4_1", data: new Uint8Array(40).fill(2) },
  { name: "c", dims: [256], type: "Q6_K", data: new Uint8Array(210).fill(3) },
];

function parse(bytes: Uint8Array): GgufHeader {
  const header = parseGgufHeader(bytes, bytes.length, "x.gguf");
  if (!header) throw new Error("the whole file was given, so nothing more can be asked for");
  return header;
}

/** The error that parsing gives, which must say what it met. */
function refusal(bytes: Uint8Array, code: MdiError["code"], message: string): void {
  const error = assertThrows(
    () => parseGgufHeader(bytes, bytes.length, "x.gguf"),
    MdiError,
    message,
  );
  assertEquals(error.code, code);
}

Deno.test("parseGgufHeader() reads every type of value, and places tensors", () => {
  for (const [version, alignment] of [[2, 32], [3, 32], [3, 64]] as const) {
    const metadata: Record<string, TypedValue> = {
      ...METADATA,
      "general.alignment": [4, alignment],
    };
    const bytes = writeGguf(metadata, TENSORS, { version, alignment });
    const header = parse(bytes);
    assertEquals(Object.fromEntries(header.metadata), {
      "general.architecture": "llama",
      "u8": 255,
      "i8": -1,
      "u16": 65535,
      "i16": -2,
      "u32": 4294967295,
      "i32": -3,
      "f32": 0.5,
      "bool": true,
      "strings": ["a", "Ġb€", ""],
      "nested": [[1, 2], []],
      "u64": 2n ** 63n,
      "i64": -5n,
      "f64": 1e300,
      "general.alignment": alignment,
    });
    for (const [i, tensor] of [...header.tensors.values()].entries()) {
      assertEquals(bytes.slice(tensor.offset, tensor.offset + tensor.bytes), TENSORS[i]!.data);
      assertEquals(tensor.offset % alignment, 0);
    }
  }
});

Deno.test("parseGgufHeader() asks for more bytes and not for less", () => {
  const bytes = writeGguf(METADATA, TENSORS);
  const needed = bytes.findIndex((_, length) =>
    parseGgufHeader(bytes.subarray(0, length), bytes.length, "x") !== undefined
  );
  const [first] = parse(bytes).tensors.values();
  assert(needed > 0 && needed <= first!.offset && needed > first!.offset - 32);
  // Of the file itself, nothing can be missing.
  for (let length = 0; length < bytes.length - 32; length++) {
    assertThrows(() => parseGgufHeader(bytes.subarray(0, length), length, "x"), MdiError);
  }
});

Deno.test("parseGgufHeader() refuses other formats and versions", () => {
  const bytes = writeGguf(METADATA, TENSORS);
  const changed = (offset: number, ...values: number[]) => {
    const copy = bytes.slice();
    copy.set(values, offset);
    return copy;
  };
  refusal(new TextEncoder().encode("PK\x03\x04 and so on"), "model_corrupt", "0x04034b50");
  refusal(changed(4, 1), "model_unsupported", "version is 1");
  refusal(changed(4, 4), "model_unsupported", "version is 4");
  refusal(changed(4, 0, 0, 0, 3), "model_unsupported", "big-endian");
});

Deno.test("parseGgufHeader() refuses counts, lengths and places beyond the file", () => {
  const bytes = writeGguf(METADATA, TENSORS);
  const u64At = (offset: number, value: bigint) => {
    const copy = bytes.slice();
    new DataView(copy.buffer).setBigUint64(offset, value, true);
    return copy;
  };
  refusal(u64At(8, 2n ** 40n), "model_corrupt", "number of tensors is 1099511627776");
  refusal(u64At(8, 60000n), "model_corrupt", "list of tensors needs");
  refusal(
    u64At(16, 2n ** 64n - 1n),
    "model_corrupt",
    "number of metadata entries is 18446744073709551615",
  );
  refusal(u64At(24, 2n ** 16n), "model_corrupt", "a metadata key needs 65536 bytes");
  refusal(
    writeGguf({ x: [9, 4, []], y: [8, ""] }, [{ ...TENSORS[0]!, dims: [2 ** 40, 2 ** 40] }]),
    "model_corrupt",
    "shape",
  );
  refusal(writeGguf({}, [{ ...TENSORS[0]!, dims: [2, 300] }]), "model_corrupt", "ends at byte");
  refusal(writeGguf({}, [{ ...TENSORS[0]!, dims: [0] }]), "model_corrupt", "shape [0]");
  refusal(writeGguf({}, [{ ...TENSORS[0]!, dims: [] }]), "model_corrupt", "0 dimensions");
  refusal(writeGguf({}, [{ ...TENSORS[1]!, dims: [33] }]), "model_corrupt", "rows of 33");
  refusal(writeGguf({}, [TENSORS[0]!, TENSORS[0]!]), "model_corrupt", "occurs twice");
  refusal(
    writeGguf({ "general.alignment": [4, 33] }, TENSORS),
    "model_corrupt",
    "general.alignment is 33",
  );
  const deep = (depth: number): TypedValue =>
    depth === 0 ? [4, 1] : [9, depth === 1 ? 4 : 9, [deep(depth - 1)]];
  refusal(writeGguf({ deep: deep(9) }, []), "model_corrupt", "nested too deeply");
});

Deno.test("parseGgufHeader() names a tensor of a type that mdi has not", () => {
  refusal(
    writeGguf({}, [{ ...TENSORS[2]!, type: 11 }]),
    "model_unsupported",
    'tensor "c" of x.gguf: its type is Q3_K',
  );
  refusal(
    writeGguf({}, [{ ...TENSORS[2]!, type: 999 }]),
    "model_unsupported",
    "its type is number 999",
  );
});

Deno.test("parseGgufHeader() survives any truncation and any flipped bits", () => {
  const bytes = writeGguf(METADATA, TENSORS);
  const flips = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 8 });
  fc.assert(
    fc.property(flips, fc.nat(bytes.length), (changes, length) => {
      const copy = bytes.slice(0, length);
      for (const [at, value] of changes) if (at < length) copy[at] = value;
      try {
        for (const { offset, bytes } of parse(copy).tensors.values()) {
          assert(offset + bytes <= length);
        }
      } catch (error) {
        if (!(error instanceof MdiError)) throw error;
      }
    }),
    { numRuns: 3000 },
  );
});

Deno.test("readGgufHeader() reads a real file by range", async () => {
  const { metadata, tensors } = await readGgufHeader(
    join(FIXTURES, "tiny-llama3-rope-tied/gguf/model-q4_1.gguf"),
  );
  assertEquals(metadata.get("llama.block_count"), 4);
  assertEquals((metadata.get("tokenizer.ggml.tokens") as string[]).length, 512);
  assertEquals(tensors.get("blk.3.ffn_down.weight")?.dims, [128, 64]);
  assertEquals(tensors.get("blk.3.ffn_down.weight")?.type, "Q4_1");
});

Deno.test("readGgufHeader() says that a file is missing, or cut short", async () => {
  const missing = await assertRejects(() => readGgufHeader("/nonexistent/x.gguf"), MdiError);
  assertEquals(missing.code, "model_missing");
  const whole = await Deno.readFile(join(FIXTURES, "tiny-llama-tied/gguf/model-q8_0.gguf"));
  const path = await Deno.makeTempFile({ suffix: ".gguf" });
  try {
    for (const length of [0, 10, 5000, whole.length - 1000]) {
      await Deno.writeFile(path, whole.subarray(0, length));
      const error = await assertRejects(() => readGgufHeader(path), MdiError);
      assertEquals(error.code, "model_corrupt", error.message);
    }
  } finally {
    await Deno.remove(path);
  }
});

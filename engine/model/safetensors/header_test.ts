import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MdiError } from "../../../wasm/error.ts";
import { parseSafetensorsHeader } from "./header.ts";

const HEADER = {
  __metadata__: { format: "pt" },
  a: { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] },
  b: { dtype: "BF16", shape: [5], data_offsets: [24, 34] },
  scalar: { dtype: "I64", shape: [], data_offsets: [34, 42] },
};
const DATA_BYTES = 42;

function parse(header: unknown, dataBytes = DATA_BYTES) {
  const json = new TextEncoder().encode(
    typeof header === "string" ? header : JSON.stringify(header),
  );
  return parseSafetensorsHeader(json, 8 + json.length + dataBytes, "x.safetensors");
}

Deno.test("parseSafetensorsHeader() places tensors after the header", () => {
  const start = 8 + JSON.stringify(HEADER).length;
  const tensors = parse(HEADER);
  assertEquals([...tensors.keys()], ["a", "b", "scalar"]);
  assertEquals(tensors.get("b"), {
    dtype: "BF16",
    shape: [5],
    offset: start + 24,
    bytes: 10,
    path: "x.safetensors",
  });
});

const BAD: [string, unknown, number, string][] = [
  ["what is not JSON", "{", 42, "not JSON"],
  ["an array", [], 0, "not a JSON object"],
  ["a tensor that is none", { a: 7 }, 0, "described as 7"],
  ["a negative dimension", { a: { dtype: "F32", shape: [-1], data_offsets: [0, 4] } }, 4, "[-1]"],
  [
    "a length that is not the shape's",
    { a: { dtype: "F32", shape: [2], data_offsets: [0, 4] } },
    4,
    "[0,4]",
  ],
  [
    "a product beyond numbers",
    { a: { dtype: "F32", shape: [2 ** 40, 2 ** 40], data_offsets: [0, 4] } },
    4,
    "1099511627776",
  ],
  ["a gap", { a: { dtype: "F32", shape: [1], data_offsets: [4, 8] } }, 8, "starts at byte"],
  [
    "an overlap",
    {
      a: { dtype: "U8", shape: [4], data_offsets: [0, 4] },
      b: { dtype: "U8", shape: [4], data_offsets: [2, 6] },
    },
    6,
    "tensor b starts at",
  ],
  ["a file that is too short", HEADER, 41, "its tensors end at"],
  ["a file that is too long", HEADER, 43, "its tensors end at"],
];

for (const [what, header, dataBytes, message] of BAD) {
  Deno.test(`parseSafetensorsHeader() refuses ${what}`, () => {
    const error = assertThrows(() => parse(header, dataBytes), MdiError, message);
    assertEquals(error.code, "model_corrupt");
  });
}

Deno.test("parseSafetensorsHeader() survives any JSON and any flipped bits", () => {
  const accepted = (
    run: () => Map<string, { offset: number; bytes: number }>,
    fileBytes: number,
  ) => {
    try {
      for (const { offset, bytes } of run().values()) assert(offset + bytes <= fileBytes);
    } catch (error) {
      if (!(error instanceof MdiError)) throw error;
    }
  };
  const json = new TextEncoder().encode(JSON.stringify(HEADER));
  const size = 8 + json.length + DATA_BYTES;
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(json.length - 1), fc.nat(255)), { maxLength: 4 }),
      (changes) => {
        const copy = json.slice();
        for (const [at, value] of changes) copy[at] = value;
        accepted(() => parseSafetensorsHeader(copy, size, "x"), size);
      },
    ),
    { numRuns: 2000 },
  );
  fc.assert(fc.property(fc.json(), (text) => accepted(() => parse(text, 8), Infinity)));
});

import { assertEquals, assertThrows } from "@std/assert";
import { InvalidArgumentError } from "@commander-js/extra-typings";
import fc from "fast-check";
import {
  byteCount,
  decimalNumber,
  layerCounts,
  paceFile,
  readableBy,
  repeated,
  seedNumber,
  wholeNumber,
} from "./args.ts";

const refuses = (read: (text: string) => unknown, ...texts: string[]) => {
  for (const text of texts) assertThrows(() => read(text), InvalidArgumentError, "", text);
};
const NO_NUMBERS = ["", " ", "NaN", "Infinity", "-Infinity", "0x10", "1_000", "1,5", "ten", "1n"];

Deno.test("wholeNumber() takes whole numbers within its bounds", () => {
  const read = wholeNumber(1, 512);
  assertEquals([read("1"), read(" 12 "), read("512")], [1, 12, 512]);
  refuses(read, ...NO_NUMBERS, "0", "-1", "513", "1.0", "1e2", "9".repeat(40));
  assertThrows(() => wholeNumber(2)("1"), InvalidArgumentError, "of at least 2");
});

Deno.test("decimalNumber() takes decimal numbers within its bounds", () => {
  const read = decimalNumber(0, 2);
  assertEquals([read("0"), read(".5"), read("1."), read("1e-3")], [0, 0.5, 1, 0.001]);
  refuses(read, ...NO_NUMBERS, "-0.1", "2.1", "1e9", ".", "1e", "--1");
});

Deno.test("seedNumber() takes all of 64 bits and no more", () => {
  assertEquals(seedNumber("18446744073709551615"), 2n ** 64n - 1n);
  refuses(seedNumber, ...NO_NUMBERS, "-1", "1.5", "18446744073709551616");
});

Deno.test("byteCount() knows units", () => {
  const texts = ["1", "500MB", "1.5G", "2 gb", "3k", "1T"];
  assertEquals(texts.map(byteCount), [1, 5e8, 1.5e9, 2e9, 3000, 1e12]);
  refuses(byteCount, ...NO_NUMBERS, "0", "-1GB", "1GiB", "MB", "1e9", `${"9".repeat(30)}T`);
});

Deno.test("layerCounts() takes numbers with commas between them", () => {
  for (const text of ["12", "12,9,9", "0, 15 ,15"]) assertEquals(layerCounts(text), text);
  refuses(layerCounts, ...NO_NUMBERS.filter((text) => text !== "1,5"), "1,", ",1", "1,,2", "-1,2");
});

Deno.test("numbers that are written are read back, whatever they are", () => {
  fc.assert(fc.property(fc.maxSafeInteger(), (n) => {
    if (n >= 0) assertEquals(wholeNumber(0)(`${n}`), n);
    else refuses(wholeNumber(0), `${n}`);
  }));
  fc.assert(fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (x) => {
    assertEquals(decimalNumber(0, 1)(`${Math.abs(x)}`), Math.abs(x));
  }));
  fc.assert(fc.property(fc.string(), (text) => {
    for (const read of [wholeNumber(0), decimalNumber(0, 1), seedNumber, byteCount, layerCounts]) {
      try {
        read(text);
      } catch (error) {
        if (!(error instanceof InvalidArgumentError)) throw error;
      }
    }
  }));
});

Deno.test("readableBy() keeps the text, and passes on why it cannot be read", () => {
  const read = readableBy((text) => {
    if (text === "x") throw new RangeError("Cannot use x: it is x");
  });
  assertEquals(read("y"), "y");
  assertThrows(() => read("x"), InvalidArgumentError, "Cannot use x: it is x.");
});

Deno.test("repeated() collects", () => {
  assertEquals(repeated("b", repeated("a", undefined)), ["a", "b"]);
});

Deno.test("paceFile() reads a pace, and says what is wrong with the file", async () => {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, '{"layer":20,"head":{"rows":[1,4],"ms":[5,8]}}');
    assertEquals(paceFile(file), {
      layer: { rows: [1], ms: [20] },
      head: { rows: [1, 4], ms: [5, 8] },
    });
    for (const text of ["", "[]", '{"layer":-1}', '{"layer":1,"tail":1}', " ".repeat(2 ** 17)]) {
      await Deno.writeTextFile(file, text);
      refuses(paceFile, file);
    }
    refuses(paceFile, `${file}.none`);
  } finally {
    await Deno.remove(file);
  }
});

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { parseIds, readPrompt } from "./prompts.ts";

Deno.test("readPrompt() takes text as it is, and a file without the newline at its end", async () => {
  assertEquals(await readPrompt(" a\nb "), " a\nb ");
  const path = await Deno.makeTempFile();
  try {
    for (const [written, read] of [["é\n\n", "é\n"], ["x\r\n", "x"], ["\ufeffy", "y"]]) {
      await Deno.writeTextFile(path, written!);
      assertEquals(await readPrompt(`@${path}`), read);
    }
    await Deno.writeFile(path, Uint8Array.of(0xff));
    await assertRejects(() => readPrompt(`@${path}`), RangeError, "it is not UTF-8 text");
    await Deno.writeTextFile(path, "\n");
    await assertRejects(() => readPrompt(`@${path}`), RangeError, "Cannot use an empty prompt");
  } finally {
    await Deno.remove(path);
  }
  await assertRejects(() => readPrompt(`@${path}`), RangeError, "Cannot read the prompt file");
  await assertRejects(() => readPrompt(""), RangeError, "Cannot use an empty prompt");
});

Deno.test("readPrompt() gives up on a file without end", {
  ignore: Deno.build.os === "windows",
}, async () => {
  await assertRejects(() => readPrompt("@/dev/zero"), RangeError, "more than 67108864 bytes");
});

Deno.test("parseIds() reads what was written and refuses all else", () => {
  fc.assert(fc.property(fc.array(fc.nat(2 ** 31 - 1), { minLength: 1 }), (ids) => {
    assertEquals(parseIds(ids.join(",")), ids);
  }));
  assertEquals(parseIds(" 1, 2 "), [1, 2]);
  for (const text of ["", ",", "1,", "-1", "1.5", "0x1", "1 2", "2147483648", "9".repeat(1e6)]) {
    const error = assertThrows(() => parseIds(text), RangeError, "is not a token id");
    assertEquals(error.message.length < 300, true);
  }
});
